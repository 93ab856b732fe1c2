#!/usr/bin/env bash
# Checks pdquant through XLA on this machine: bash run.sh RESULTS [STAGE...]
#
# RESULTS gets check.tsv and a log of each stage. Stages are lines of "stages" below, by their first word; without
# any, all run, one after the other, until $SECONDS_IN_ALL (480) have passed. A stage that fails doesn't stop the
# others, but for the opening of the backend. $PDQUANT_XLA names the plugin; unset, it is that of JAX in the packages
# of python3.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
results=$1
shift
mkdir -p "$results"
results=$(cd "$results" && pwd)
chosen=" $* "
limit=${SECONDS_IN_ALL:-480}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Python unpacks where there is no xz.
tar -xJf "$here/check.tar.xz" -C "$work" 2>/dev/null ||
	python3 -c "import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])" "$here/check.tar.xz" "$work" || exit 1
cd "$work"
table=$results/check.tsv
test -e "$table" || printf 'stage\twhat\tvalue\tlimit\tverdict\n' >"$table"
row() { (IFS=$'\t'; echo "$*") >>"$table"; }

# The programs find JAX's plugin, or take the one that $PDQUANT_XLA names.
xla=xla:cuda
test -n "${PDQUANT_XLA:-}" && xla=xla:
device=cpu
test -e /dev/nvidiactl && device=cuda
export PATH=$PATH:/usr/local/cuda/bin:/usr/local/nvidia/bin # nvidia-smi, ptxas
export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}/usr/local/nvidia/lib64
packages=$(python3 -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])' 2>/dev/null)

facts() {
	row facts xla_flags "$(echo ${XLA_FLAGS:-})" "" ""
	row facts processor "$(nproc) x $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "" ""
	command -v nvidia-smi >/dev/null &&
		row facts card "$(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | head -n 1)" "" ""
	python3 - <<-'END' 2>/dev/null | while IFS=$'\t' read -r name version; do row facts "$name" "$version" "" ""; done
		import importlib.metadata as m
		for n in sorted(d.metadata["Name"] for d in m.distributions()):
		    if n in ("jax", "jaxlib", "torch") or n.startswith(("jax-cuda", "nvidia-cu")):
		        print(n, m.version(n), sep="\t")
	END
	ldd --version | head -n 1
	ls "$packages"/jax_plugins/* "$packages"/nvidia 2>/dev/null
	ls -d /usr/local/cuda* /usr/local/nvidia/* 2>/dev/null
	env | grep -E '^(CUDA_VERSION|XLA_FLAGS|LD_LIBRARY_PATH|PATH)='
}

# tests BACKENDS PATTERN: tests of pdq on these backends; the table gets the error of each golden quantity.
tests() {
	(cd pdq && PDQUANT_TEST_BACKENDS=$1 GOMLX_BACKEND=${1%% *} ./pdq.test -test.v -test.run "$2" -test.timeout "${left}s")
}

bench() {
	./bench -backends="$xla" -device=$device -python="$(command -v python3)" -compile=false -busy -out="$results/$stage.bench.tsv" "$@"
}

demo() {
	./pdquant demo backend="$xla" w=2 a=2 out="$work/$stage" "$@" || return
	cp "$work/$stage/results.tsv" "$results/$stage.results.tsv"
}

# Reduced precision (TF32) is XLA's default for products on CUDA, and cuDNN's for convolutions. tf32=false changes
# the products alone, NVIDIA_TF32_OVERRIDE=0 what NVIDIA's libraries compute.
steps='^Test(FakeQuantize|DropQuantize|SoftRoundGradient|Losses|FeatureLossGradient|FineTuneGradient|FastCorrection|WorkersAgree)$'
stages=(
	"facts 60 facts"
	"open 90 TF_CPP_MIN_LOG_LEVEL=1 tests $xla,tf32=false ^TestFakeQuantize\$"
	"golden-exact 240 NVIDIA_TF32_OVERRIDE=0 tests $xla,tf32=false ^TestGolden"
	"golden-tf32 240 tests $xla ^TestGolden"
	"bench 200 bench -seconds=0.4 -rounds=3 -cases=resnet20-first,mobilenetv2-depthwise,resnet18-224"
	"bench-exact 100 NVIDIA_TF32_OVERRIDE=0 bench -seconds=0.4 -rounds=3 -cases=resnet20-first,resnet18-224"
	"resnet20 200 demo teacher=resnet20 images=256"
	"mobilenetv2 250 demo teacher=mobilenetv2 images=256"
	"steps 120 NVIDIA_TF32_OVERRIDE=0 tests $xla,tf32=false $steps"
	"golden-convtf32 120 tests $xla,tf32=false ^TestGolden"
)

# verdict STAGE: what of the stage's log goes to the table.
verdict() {
	awk -v stage="$1" -v OFS='\t' '
		/ error [^ ]+, limit / {
			what = $0; sub(/^[^:]*:[0-9]*: /, "", what); sub(/ +error .*/, "", what); sub(/^ +/, "", what)
			error = $0; sub(/.* error /, "", error); sub(/,.*/, "", error)
			limit = $0; sub(/.*limit /, "", limit)
			print stage, what, error, limit, (error + 0 <= limit + 0) ? "ok" : "ABOVE"
		}
		/^ *--- (PASS|FAIL|SKIP)/ { verdict = $2; sub(/:/, "", verdict); print stage, $3, substr($4, 2) + 0, "", verdict }

	' "$results/$1.log" >>"$table"
	test -e "$results/$1.results.tsv" && # of a demo: accuracy and seconds of each method
		awk -F '\t' -v stage="$1" -v OFS='\t' 'NR > 1 { print stage, $1 ", top-1", $2, "", ""; print stage, $1 ", seconds", $9, "", "" }' \
			"$results/$1.results.tsv" >>"$table"
	return 0
}

for line in "${stages[@]}"; do
	read -r stage most words <<<"$line"
	[[ $chosen = "  " || $chosen = *" $stage "* ]] || continue
	left=$((limit - SECONDS < most ? limit - SECONDS : most))
	if ((left < 20)); then
		row "$stage" seconds "" "" "no time left"
		continue
	fi
	read -ra words <<<"$words"
	begun=$SECONDS
	(
		while [[ ${words[0]} = [A-Z]*=* ]]; do export "${words[0]}" && words=("${words[@]:1}"); done
		set -m # each child a process group of its own, to end as a whole
		"${words[@]}" &
		child=$!
		(sleep "$left" && kill -TERM -- -$child) 2>/dev/null &
		watch=$!
		wait $child
		status=$?
		kill -- -$watch
		exit $status
	) >"$results/$stage.log" 2>&1
	status=$?
	row "$stage" seconds $((SECONDS - begun)) "$left" "$([[ $status = 0 ]] && echo ok || echo "status $status")"
	verdict "$stage"
	echo "== $stage: status $status, $((SECONDS - begun)) s"
	tail -n "${TAIL:-12}" "$results/$stage.log" | cut -c1-300
	if [[ $stage = open && $status != 0 ]]; then exit 1; fi
done
