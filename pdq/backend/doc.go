// Package backend opens the GoMLX backend that a program computes with.
//
// Open takes a name:
//
//	auto (or "")    $GOMLX_BACKEND if set, else xla:cuda if there is an NVIDIA driver, else the fastest
//	                installed one by measured steps: ONNX Runtime, XLA on the CPU, Go, or the order that
//	                "make bench" found on this machine
//	go              GoMLX's backend in Go: always available, but the slowest
//	onnx            ONNX Runtime on the CPU: the first found of $ONNXRUNTIME_SHARED_LIBRARY_PATH, PyPI's
//	                package onnxruntime in the Python environment that the program lies in, the library
//	                that "make onnxruntime" installs, and the library that compute-onnx installs
//	onnx:/path/libonnxruntime.so.1
//	xla             the first installed PJRT plugin of cuda (if there is a driver), rocm, cpu and others
//	xla:cpu, xla:cuda, xla:/path/plugin.so
//
// Options follow after a comma (after the colon if there is no path), as the backends document them; examples are
// "go:ops_sequential", "onnx:intra_threads=1", "onnx:/path/libonnxruntime.so.1,cuda" and "xla:cuda,tf32=false".
//
// PJRT plugins are searched in the file or folder that $PDQUANT_XLA names, and nowhere else if it is set; in Python's
// packages, where "jax[cuda13]" and "jax[cuda12]" have one (of $VIRTUAL_ENV, $CONDA_PREFIX, the environment that the
// program lies in, that of python3 in $PATH, the user and the system); where "make xla" installs one for the CPU; and
// where go-xla's installer does. NVIDIA's libraries are those beside JAX's plugin, else the system's. XLA compiles with
// the nvvm/libdevice beside the plugin or in /usr/local/cuda, unless $XLA_FLAGS names another folder. The note says
// what is missing.
//
// Open never downloads anything: the installers of compute-onnx and go-xla are off. ONNX Runtime's telemetry is off,
// too, unless $ORT_DISABLE_TELEMETRY says otherwise. Import this package instead of the backends' own packages, which
// collide as blank imports in a notebook's cells.
//
// # Threads
//
// Unless the options say otherwise, ONNX Runtime computes each graph with one thread; on more than 8 processors, with
// an eighth as many threads as processors. Workers says how many graphs to compute at the same time. A step of rounding
// took 70 ms as two graphs with one thread each, and 87 ms as one graph with two threads, since many of its operations
// are small or run on one thread. By default, ONNX Runtime starts a thread for each physical core and pins it there,
// which ignores a container's share of the machine. Threads spin for a moment after each call. execution_mode=parallel
// ran nothing in parallel, and the other options made no measurable difference.
//
// The Go backend computes the operations of a graph one after the other (ops_sequential), and as many graphs at the
// same time as there are processors: a step takes 264 ms, against 423 ms with ops_parallel.
//
// # Determinism
//
// On the same inputs, with the same backend, library version and kind of processor, a graph gives the same bits. On the
// CPU, sums, products and convolutions gave the same bits with one thread and with two, but no backend promises that.
// So the seeds and the note that Open returns are enough to repeat a run. Between backends the last bits differ, and a
// rounding that depends on them may go the other way.
//
// There are two caveats for CUDA. XLA adds some sums in any order, unless XLA_FLAGS has
// --xla_gpu_deterministic_ops=true. And it multiplies with 10 bits of mantissa (TF32), which takes two settings to
// switch off: for products of matrices, a name that ends in ,tf32=false; for convolutions, whose precision go-xla
// leaves open, NVIDIA_TF32_OVERRIDE=0 in the environment. With both, the golden tests pass on an H200. With neither, a
// third of their quantities have larger errors than the tests allow (testdata/gpu).
//
// # Models
//
// OpenModel loads an ONNX file into ONNX Runtime, beside the backend or without one. It is how package export's files
// are checked.
//
// # Caveats
//
// A process loads ONNX Runtime once: the first path wins, and the note of a later Open says so. A tensor that was used
// on one backend is bound to it. Clone it (LocalClone) for another backend, even for one of the same name.
package backend
