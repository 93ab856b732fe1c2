// Package backend opens the GoMLX backend that a program computes with.
//
// Open takes a name:
//
//	auto (or "")    $GOMLX_BACKEND if that is set, else the first that is installed of XLA, ONNX Runtime and Go
//	go              GoMLX's backend in Go: always there, the slowest
//	onnx            ONNX Runtime on the CPU, from the first of $ONNXRUNTIME_SHARED_LIBRARY_PATH, the library
//	                that "make onnxruntime" installs, and the one of compute-onnx's installer
//	onnx:/path/libonnxruntime.so.1
//	xla             the first PJRT plugin installed of cuda, rocm, cpu and others
//	xla:cpu, xla:cuda, xla:/path/plugin.so
//
// Options follow after a comma (after the colon where there is no path), as the
// backends document them: go:ops_sequential, onnx:intra_threads=1,
// onnx:/path/libonnxruntime.so.1,cuda, xla:cuda,tf32=false.
//
// Nothing is ever downloaded: the installers of compute-onnx and go-xla are off. ONNX
// Runtime's telemetry is off too, unless $ORT_DISABLE_TELEMETRY says otherwise.
// A program imports this package instead of the backends' own, which collide as
// blank imports in a notebook's cells.
//
// # Threads
//
// ONNX Runtime computes each graph with one thread (on more than 8 processors with an eighth of
// them) unless the options say otherwise, and Workers says how many graphs to compute side by side:
// a step of rounding took 70 ms as two graphs of one thread each, and 87 ms as one of two
// threads, since many of its operations are small or run on one thread. By itself ONNX Runtime takes
// a thread a physical core and pins it there, which ignores a container's share of the machine.
// Threads spin for a moment after each call; execution_mode=parallel ran nothing in parallel,
// and the other options made no difference that could be measured.
//
// The Go backend computes the operations of a graph one after the other (ops_sequential), and as many
// graphs side by side as there are processors: 264 ms a step against 423 with ops_parallel.
//
// # Determinism
//
// A graph gives the same bits again on the same inputs with the same backend,
// library version and kind of processor; on the CPU, sums, products and convolutions
// gave them with one thread and with two as well, which no backend promises.
// So a run is repeated by its seeds and by the note that Open returns. Between
// backends the last bits differ, and a rounding decided by them may fall the
// other way. Two caveats for CUDA: XLA adds some sums in any order unless
// XLA_FLAGS has --xla_gpu_deterministic_ops=true, and multiplies with 10 bits of
// mantissa (TF32). That takes two settings to switch off: products of matrices by a
// name that ends in ,tf32=false, and convolutions, whose precision go-xla leaves
// open, by NVIDIA_TF32_OVERRIDE=0 in the environment. With both, the golden tests
// pass on an H200; with neither, a third of their quantities is off by more than
// the tests allow (testdata/gpu).
//
// # Caveats
//
// A process loads ONNX Runtime once: the first path wins, and the note of a later
// Open says so. A tensor that was used on one backend is bound to it; clone it
// (LocalClone) for another, even for another of the same name.
package backend
