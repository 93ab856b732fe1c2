"""Exports the networks of architectures.py as ONNX files without their large weights, and their logits.

Needs PyTorch 2.15, torchvision, timm, onnx, onnxscript and onnxruntime (README.md gives the versions).

    python export.py [-rest FOLDER] [ARCHITECTURE ...]

It writes the committed files to this file's folder, their logits to logits.tsv, and the table of files to README.md.
With -rest it writes the forms new and old that aren't committed, and their logits, to FOLDER instead. With names it
exports only those architectures.
"""

import argparse
import collections
import io
import pathlib
import warnings

import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from torch import nn

import architectures
import formula

HERE = pathlib.Path(__file__).parent
KEPT = 64  # a float tensor of at most so many elements keeps its data


def normalise(layer, inputs, output):
    """Is a forward hook that divides layer's parameters, and so its output, by the deviation of the output."""
    deviation = output.std()
    for p in layer.parameters(recurse=False):
        p /= deviation
    return output / deviation


def randomised(make, size):
    """Returns the network in eval mode with random weights and statistics that keep its activations near 1."""
    torch.manual_seed(0)
    m = make().eval()
    with torch.no_grad():
        for name, b in m.named_buffers():
            if name.endswith("running_mean"):
                b.normal_(0.1, 0.1)
            elif name.endswith("running_var"):
                b.uniform_(0.5, 1.5)
        for name, p in m.named_parameters():
            if p.dim() == 1 and name.endswith(".weight"):
                p.uniform_(0.7, 1.3)
            elif p.dim() == 1 or p.numel() > 1 and p.std() == 0:
                p.normal_(0, 0.1)
        layers = [layer for layer in m.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
        hooks = [layer.register_forward_hook(normalise) for layer in layers]
        m(torch.from_numpy(formula.images(4, 3, size, size)))
        for hook in hooks:
            hook.remove()
    return m


def exported(m, x, form, opset):
    """Returns the ONNX graph of m, with a batch of any size, in a form of README.md."""
    f = io.BytesIO()
    names = {"input_names": ["image"], "output_names": ["logits"], "opset_version": opset}
    axes = {0: "batch"}
    if form.endswith("-open"):
        axes |= {2: "height", 3: "width"}
    if form.startswith("new"):
        shapes = {i: torch.export.Dim(name) if i == 0 else torch.export.Dim.AUTO for i, name in axes.items()}
        program = torch.onnx.export(
            m, (x,), dynamo=True, optimize=form != "new-plain", dynamic_shapes=(shapes,), verbose=False, **names)
        return program.model_proto
    if form == "old-plain":
        names |= {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    torch.onnx.export(
        m, (x,), f, dynamo=False, dynamic_axes={"image": axes, "logits": {0: "batch"}}, **names)
    return onnx.load_from_string(f.getvalue())


def strip(model):
    """Removes from model all that doesn't change its logits, and describes large float tensors by package formula."""
    graph = model.graph
    for node in [n for n in graph.node if n.op_type == "Constant" and n.attribute[0].name == "value"]:
        if numpy_helper.to_array(node.attribute[0].t).size > KEPT:
            t = graph.initializer.add()
            t.CopyFrom(node.attribute[0].t)
            t.name = node.output[0]
            graph.node.remove(node)
    for i, t in enumerate(graph.initializer):
        v = numpy_helper.to_array(t)
        if t.data_type == onnx.TensorProto.FLOAT and v.size > KEPT:
            mean, deviation = v.mean(dtype="f8"), v.std(dtype="f8") or 0.05
            dims = list(t.dims)
            t.CopyFrom(onnx.TensorProto(name=t.name, dims=dims, data_type=t.data_type))
            t.doc_string = f"uniform {mean:.4g} {deviation:.4g} {i + 1}" + " positive" * bool((v > 0).all())
    graph.ClearField("value_info")
    for part in [model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer, *model.functions]:
        # What PyTorch's new exporter writes: names of the modules around a node. The importer reads them.
        scopes = [p for p in part.metadata_props if p.key == "pkg.torch.onnx.name_scopes"]
        part.ClearField("metadata_props")
        if isinstance(part, onnx.NodeProto):
            part.metadata_props.extend(scopes)
    for part in [model, graph, *graph.node, *graph.input, *graph.output]:
        part.ClearField("doc_string")


def filled(model):
    """Returns a copy of the stripped model with the values that its tensors' doc strings describe."""
    full = onnx.ModelProto()
    full.CopyFrom(model)
    for t in full.graph.initializer:
        if t.doc_string:
            t.raw_data = formula.described(t.doc_string, *t.dims).tobytes()
            t.doc_string = ""
    onnx.checker.check_model(full)
    return full


def run(model, images, level):
    """Returns ONNX Runtime's logits for images, with its graph optimisations up to level."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: images})[0]


def logits(file, model, size):
    """Returns the logits [2,10] of the stripped model; they must depend on image and class, and be well conditioned."""
    full, images = filled(model), formula.images(2, 3, size, size)
    y = run(full, images, onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL)
    error = abs(y - run(full, images, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL)).max()
    largest, classes, pair = abs(y).max(), (y.max(1) - y.min(1)).min(), abs(y[0] - y[1]).max()
    print(f"{file}: largest {largest:.3g}, over classes {classes / largest:.2g}, over images {pair / largest:.2g},"
          f" error {error / largest:.1g}", flush=True)
    if y.shape != (2, 10) or not min(classes, pair) > 1e-3 * largest or not error < 0.01 * min(classes, pair):
        raise ValueError(f"{file}: logits are constant, ill-conditioned or not [2,10]:\n{y}")
    return y


def export(name, form, folder):
    """Writes one file to folder and returns its logits."""
    a = architectures.ALL[name]
    file = f"{name}.{form}.onnx"
    x = torch.randn(2, 3, a.size, a.size)
    model = exported(randomised(a.make, a.size), x, form, a.new if form.startswith("new") else a.old)
    strip(model)
    y = logits(file, model, a.size)
    (folder / file).write_bytes(model.SerializeToString(deterministic=True))
    return y


def record(folder, found):
    """Replaces in folder's logits.tsv the lines of the files in found, and drops those of files that are gone."""
    path = folder / "logits.tsv"
    lines = {}
    for line in path.read_text().splitlines()[1:] if path.exists() else []:
        lines.setdefault(line.split("\t")[0], []).append(line)
    for file, y in found.items():
        lines[file] = ["\t".join([file, str(i), *(f"{v:.7g}" for v in row)]) for i, row in enumerate(y)]
    there = [line for file in sorted(lines) if (folder / file).exists() for line in lines[file]]
    head = "\t".join(["file", "image", *(f"class{c}" for c in range(10))])
    path.write_text("\n".join([head, *there]) + "\n")


def tabulate():
    """Replaces the table of files at the end of README.md."""
    path = HERE / "README.md"
    head = "| file | exporter | opset | IR | kB | operators |\n| --- | --- | --- | --- | --- | --- |\n"
    rows = []
    for f in sorted(HERE.glob("*.onnx")):
        m = onnx.load(f)
        ops = sorted(collections.Counter(n.op_type for n in m.graph.node).items())
        rows.append(f"| {f.name} | {f.name.split('.')[1]} | {m.opset_import[0].version} | {m.ir_version} |"
                    f" {f.stat().st_size / 1000:.0f} | {', '.join(f'{o} {n}' for o, n in ops)} |\n")
    path.write_text(path.read_text().split(head)[0] + head + "".join(rows))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("-rest", type=pathlib.Path, help="folder for the files that aren't committed")
    p.add_argument("names", nargs="*", default=list(architectures.ALL))
    args = p.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    folder = args.rest or HERE
    folder.mkdir(parents=True, exist_ok=True)
    for name in args.names:
        forms = set(architectures.ALL[name].kept.split())
        for form in sorted({"new", "old"} - forms if args.rest else forms):
            record(folder, {f"{name}.{form}.onnx": export(name, form, folder)})
    tabulate()


if __name__ == "__main__":
    main()
