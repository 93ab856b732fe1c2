# The commands of the project; "make" lists them.

# The toolchain that go.mod names is fetched if need be. SIMD makes the Go backend
# 2 to 5 times faster.
export GOTOOLCHAIN = auto
GOEXPERIMENT ?= simd
export GOEXPERIMENT

# Settings of "make demo".
TEACHER = mobilenetv2
W       = 2
A       = 2
SEED    = 1
BACKEND = auto
OUT     =
ARGS    =

# Settings of "make test": further flags, and the most time one package may take.
TESTFLAGS =
TIMEOUT   = 30m

.DEFAULT_GOAL := help
.PHONY: help demo build notebooks jupyter wheel test test-xla lint race soak bench gpu-check onnxruntime xla teachers

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## quantise a teacher and compare: TEACHER=mobilenetv2 W=2 A=2 SEED=1 BACKEND=auto OUT=folder ARGS="key=value ..."
ifneq ($(filter auto onnx,$(BACKEND)),)
	@$(MAKE) --no-print-directory onnxruntime || echo "going on without ONNX Runtime: slower"
endif
	go run ./repl demo teacher=$(TEACHER) w=$(W) a=$(A) seed=$(SEED) backend=$(BACKEND) $(if $(OUT),out=$(OUT)) $(ARGS)

build: ## make bin/pdquant, the shell as a program
	@test -x bin/pdquant || echo "building bin/pdquant; the first time this fetches Go and the modules, and takes some three minutes"
	@mkdir -p bin
	go build -o bin/pdquant ./repl

SUDO = $(shell test "$$(id -u)" = 0 || echo sudo)

notebooks: ## execute the notebooks, with few images and steps, into runs/notebooks: ARGS="-full paper_tables"
	@command -v jupyter-nbconvert >/dev/null || $(SUDO) apt-get install -qq -y --no-install-recommends jupyter-nbconvert jupyter-client
	@$(MAKE) --no-print-directory onnxruntime || echo "going on without ONNX Runtime: slower"
	go run ./internal/notebooks $(ARGS)

# JupyterLab is the user's, else one that is installed in the user's cache folder.
jupyter: ## open the notebooks in JupyterLab; Ctrl-C ends it
	@go run ./internal/notebooks -open

wheel: ## write dist/pdquant-*.whl, which pip installs, with the Jupyter kernel
	@go run ./internal/wheel $(ARGS)

# The root's test reads the whole tree, which the test cache does not see: -count=1. go vet is part of lint.
test: lint ## check the code and run all tests: TESTFLAGS=-v TIMEOUT=30m
	go test -vet=off -count=1 $(TESTFLAGS) .
	go test -vet=off -timeout $(TIMEOUT) $(TESTFLAGS) $$(go list ./... | grep pdquant/pdquant/)

# Tests of pdq that go through the backend: numbers of the reference, single steps, going on. Each compiles much.
XLA_TESTS = ^Test(Golden|FakeQuantize|DropQuantize|SoftRoundGradient|Losses|FeatureLossGradient|CorrectLowers|RounderGoesOn|Devices)

test-xla: ## run the tests of numbers, steps and going on, on XLA for the CPU, which "make xla" installs
	PDQUANT_TEST_BACKENDS=xla:cpu go test -vet=off -count=1 -run '$(XLA_TESTS)' -timeout $(TIMEOUT) $(TESTFLAGS) ./pdq
	PDQUANT_TEST_BACKENDS=xla:cpu go test -vet=off -count=1 -run '^TestConv' -timeout $(TIMEOUT) $(TESTFLAGS) ./models

lint: ## gofmt, go mod tidy, go vet, staticcheck, checksums of the modules
	@unformatted=$$("$$(go env GOROOT)/bin/gofmt" -l .); test -z "$$unformatted" || { echo "gofmt -w $$unformatted"; exit 1; }
	go mod tidy -diff
	go vet ./...
	go tool -modfile=internal/tools/go.mod staticcheck ./...
	go mod verify

# Words in the names of tests in which goroutines run side by side: workers, files read ahead, searches, progress, signals.
CONCURRENT = Workers|Parallel|Shared|Seeds|Group|Stream|Cancel|CacheLimit|Interrupt|Terminated|Progress|Search\b|FineTuneStart|ImageFolder\b|LoadRandom

# The Go backend's SIMD code keeps addresses as integers, which checkptr, part of
# the race detector's build, takes for a fault.
race: ## run the tests with goroutines side by side under the race detector
	@packages=$$(grep -rlE '^func Test.*($(CONCURRENT))' --include='*_test.go' . | xargs -n1 dirname | sort -u); \
	set -x; go test -vet=off -race -gcflags=all=-d=checkptr=0 -short -run '$(CONCURRENT)' -timeout $(TIMEOUT) $(TESTFLAGS) $$packages

soak: ## for two hours: fuzz every parser, all tests in their long forms, into testdata/soak.tsv: ARGS="-fuzz=1m"
	go run ./internal/soak $(ARGS)

# Alone on the machine, please. PyTorch is Debian's python3-torch; without it, only its columns are missing.
bench: ## measure steps on each backend, PyTorch beside them, into testdata/benchmarks.tsv: ARGS="-backends=onnx -cases=..."
	go run ./internal/bench $(ARGS)

# The GPU's machine needs no Go: copy the folder there and run "bash run.sh RESULTS".
gpu-check: ## pack what checks pdquant on a machine with a GPU: OUT=.gpu
	go run ./internal/gpucheck -out=$(or $(OUT),.gpu)

onnxruntime: ## install ONNX Runtime, the fast backend, in the user's cache folder
	@go run ./pdq/backend/onnxinstall

xla: ## install XLA for the CPU in the user's cache folder: ARGS=file.whl, or ARGS=-own for go-xla's own plugin
	@go run ./pdq/backend/xlainstall $(ARGS)

# Folder with the four files of Fashion-MNIST, as Debian's dataset-fashion-mnist has them.
FASHION_MNIST = /usr/share/datasets/fashion-mnist

teachers: ## train the shipped teachers again, for hours: FASHION_MNIST=folder
	go run ./repl train teacher=resnet8 epochs=5 data=$(FASHION_MNIST)
	go run ./repl train teacher=resnet20 epochs=5 data=$(FASHION_MNIST)
	go run ./repl train teacher=mobilenetv2 epochs=5 data=$(FASHION_MNIST)
	go run ./repl train teacher=regnetx epochs=4 data=$(FASHION_MNIST)
