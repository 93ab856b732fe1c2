# Reads ONNX files' names from standard input, runs each in ONNX Runtime on one thread, and writes the milliseconds of a
# run by kind of operation: file, operation, ms. The inputs are random, but for booleans positive.
import collections, json, os, sys, tempfile
import numpy as np
import onnx
import onnxruntime as ort

RUNS = 5


def inputs(model):
    rng = np.random.default_rng(0)
    known = {i.name for i in model.graph.initializer}
    for i in model.graph.input:
        kind = onnx.helper.tensor_dtype_to_np_dtype(i.type.tensor_type.elem_type)
        dims = [d.dim_value for d in i.type.tensor_type.shape.dim]
        if i.name not in known:
            x = rng.random(dims)
            yield i.name, np.asarray(x < 0.5 if kind == np.bool_ else 0.1 + x, dtype=kind)


def name(event):
    shapes = [list(t.values())[0] for t in event["args"].get("input_type_shape", [])]
    op = event["args"]["op_name"]
    if op == "Conv" and len(shapes) > 1 and len(shapes[1]) == 4 and shapes[1][1] == 1 < shapes[1][0]:
        return "Conv, depthwise"
    return op


def profile(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = os.path.join(folder, "p")
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        feeds = dict(inputs(onnx.load(path)))
        for _ in range(RUNS):
            session.run(None, feeds)
        with open(session.end_profiling()) as f:
            events = json.load(f)
    times = collections.defaultdict(list)
    for e in events:
        if e.get("cat") == "Node" and e["name"].endswith("_kernel_time"):
            times[e["name"], name(e)].append(e["dur"] / 1e3)
    sums = collections.Counter()
    for (_, op), t in times.items():
        sums[op] += len(t) / RUNS * float(np.median(t))  # nodes without a name share one
    for op, ms in sums.items():
        print(path, op, f"{ms:.4f}", sep="\t", flush=True)


for line in sys.stdin:
    profile(line.strip())
