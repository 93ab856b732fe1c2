"""Quantises EfficientNet-Lite0 by another project's program, and tests it:

    python3 peers.py PEER SETTING W A CHECKPOINT CALIBRATION.npz TEST.npz THREADS

The archives have images [N,3,224,224] as the network takes them, and labels [N]. The last line of the output is a JSON
object: versions, seconds of quantising, and for each test image whether it is right. main.go runs this. The weights of
the first and the last layer have 8 bits. Needs PyTorch, onnx, onnxruntime, and the peer's package.
"""

import contextlib
import importlib.metadata
import json
import os
import sys
import tempfile
import time

import numpy as np
import torch
from torch import nn


def same(size, kernel, stride):
    """Returns the padding (before, after) for which the output has ceil(size/stride) pixels a side."""
    all_ = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return all_ // 2, all_ - all_ // 2


class Block(nn.Module):
    """Inverted bottleneck. The modules have the checkpoint's names."""

    def __init__(self, size, kernel, stride, expand, inputs, outputs):
        super().__init__()
        inner = inputs * expand
        norm = dict(eps=1e-3)
        self.expand, self.add = expand > 1, stride == 1 and inputs == outputs
        if self.expand:
            self._expand_conv = nn.Conv2d(inputs, inner, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(inner, **norm)
            self._relu0 = nn.ReLU6()
        before, after = same(size, kernel, stride)
        self.pad = before != after
        if self.pad:
            self._pad = nn.ZeroPad2d((before, after, before, after))
        self._depthwise_conv = nn.Conv2d(inner, inner, kernel, stride, 0 if self.pad else before, groups=inner, bias=False)
        self._bn1 = nn.BatchNorm2d(inner, **norm)
        self._relu1 = nn.ReLU6()
        self._project_conv = nn.Conv2d(inner, outputs, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(outputs, **norm)

    def forward(self, x):
        y = x
        if self.expand:
            y = self._relu0(self._bn0(self._expand_conv(y)))
        if self.pad:
            y = self._pad(y)
        y = self._relu1(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return y + x if self.add else y


class Lite0(nn.Module):
    """EfficientNet-Lite0 of modules alone, which all peers can trace."""

    def __init__(self):
        super().__init__()
        self._pad = nn.ZeroPad2d((0, 1, 0, 1))
        self._conv_stem = nn.Conv2d(3, 32, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(32, eps=1e-3)
        self._relu0 = nn.ReLU6()
        size, inputs, blocks = 112, 32, []
        for n, kernel, stride, expand, outputs in ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80),
                                                   (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320)):
            for i in range(n):
                s = stride if i == 0 else 1
                blocks.append(Block(size, kernel, s, expand, inputs, outputs))
                size, inputs = -(-size // s), outputs
        self._blocks = nn.Sequential(*blocks)
        self._conv_head = nn.Conv2d(320, 1280, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(1280, eps=1e-3)
        self._relu1 = nn.ReLU6()
        self._pool = nn.AdaptiveAvgPool2d(1)
        self._flatten = nn.Flatten()
        self._fc = nn.Linear(1280, 1000)

    def forward(self, x):
        x = self._relu0(self._bn0(self._conv_stem(self._pad(x))))
        x = self._relu1(self._bn1(self._conv_head(self._blocks(x))))
        return self._fc(self._flatten(self._pool(x)))


def network(checkpoint):
    net = Lite0()
    net.load_state_dict(torch.load(checkpoint, map_location="cpu"))
    return net.eval()


class Data:
    """Images and labels of an archive."""

    def __init__(self, path):
        with np.load(path) as archive:
            self.images, self.labels = archive["images"], archive["labels"]

    def batches(self, size):
        for k in range(0, len(self.labels), size):
            yield self.images[k:k + size]

    def loader(self, size):
        pairs = torch.utils.data.TensorDataset(torch.from_numpy(self.images), torch.from_numpy(self.labels))
        return torch.utils.data.DataLoader(pairs, batch_size=size)

    def right(self, logits):
        """Returns for each image whether the logits that a function gives for batches have its label on top."""
        top = np.concatenate([np.argmax(logits(x), axis=1) for x in self.batches(25)])
        return (top == self.labels).tolist()


def in_torch(net):
    def logits(x):
        with torch.no_grad():
            y = net(torch.from_numpy(x))
        return getattr(y, "value", y).numpy()
    return logits


def in_onnxruntime(model, threads, eight_bits=False):
    """Computes in floats between quantised values; with eight_bits as ONNX Runtime does by itself. Its products of 8 bits
    saturate on processors without VNNI, which then measures the processor."""
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    if not eight_bits:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"images": x})[0]


def exported(net, folder):
    """Writes the network with batch normalisation folded."""
    path = os.path.join(folder, "float.onnx")
    torch.onnx.export(net, torch.zeros(1, 3, 224, 224), path, dynamo=False, opset_version=17, input_names=["images"],
                      output_names=["logits"], dynamic_axes={"images": {0: "N"}, "logits": {0: "N"}})
    return path


def float32(net, setting, w, a, calibration, threads, folder):
    return "torch", in_torch(net)


def onnxruntime(net, setting, w, a, calibration, threads, folder):
    """Setting: MinMax, Entropy or Percentile, perhaps with "8-bit products". Weights symmetric by channel, activations
    asymmetric, Q and DQ nodes."""
    import onnx
    from onnxruntime import quantization as q
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(q.CalibrationDataReader):
        def __init__(self, start=0, end=len(calibration.labels)):
            self.set_range(start, end)

        def set_range(self, start_index, end_index):
            self.rest = iter(calibration.images[start_index:end_index, None])

        def get_next(self):
            return next(({"images": x} for x in self.rest), None)

        def __len__(self):
            return len(calibration.labels)

    source, prepared, out = exported(net, folder), os.path.join(folder, "prepared.onnx"), os.path.join(folder, "q.onnx")
    quant_pre_process(source, prepared, skip_symbolic_shape=True)
    layers = [n for n in onnx.load(prepared).graph.node if n.op_type in ("Conv", "Gemm")]
    at_a_time = next(k for k in range(10, 0, -1) if len(calibration.labels) % k == 0)
    options = {"CalibStridedMinMax": at_a_time}  # images whose activations are in memory; all methods take it
    if w < 8:
        options["TensorQuantOverrides"] = {n.input[1]: [{"quant_type": q.QuantType.QInt8, "axis": axis, "symmetric": True}]
                                           for n, axis in ((layers[0], 0), (layers[-1], 0))}
    q.quantize_static(prepared, out, Reader(), quant_format=q.QuantFormat.QDQ, per_channel=True,
                      activation_type=q.QuantType.QUInt8, weight_type={8: q.QuantType.QInt8, 4: q.QuantType.QInt4}[w],
                      calibrate_method=getattr(q.CalibrationMethod, setting.split(",")[0]), extra_options=options)
    return "onnxruntime", in_onnxruntime(out, threads, "8-bit products" in setting)


def nncf(net, setting, w, a, calibration, threads, folder):
    """Setting: fast or accurate bias correction. Only the target NPU has 4-bit weights, then in all layers."""
    os.environ["NNCF_EXTENSION_LOAD_TIMEOUT"] = "0"  # its extension is compiled first, which may take minutes
    import nncf
    import onnx
    parameters = dict(preset=nncf.QuantizationPreset.MIXED, subset_size=len(calibration.labels),
                      fast_bias_correction=setting == "fast bias correction")
    if w == 8:
        model = onnx.load(exported(net, folder))
        dataset = nncf.Dataset(list(calibration.batches(1)), lambda x: {"images": x})
        onnx.save(nncf.quantize(model, dataset, **parameters), os.path.join(folder, "q.onnx"))
        return "nncf", in_onnxruntime(os.path.join(folder, "q.onnx"), threads)
    dataset = nncf.Dataset(list(calibration.batches(1)), torch.from_numpy)
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, QuantizationParameters
    advanced = AdvancedQuantizationParameters(weights_quantization_params=QuantizationParameters(num_bits=w))
    parameters["target_device"] = nncf.TargetDevice.NPU
    return "nncf", in_torch(nncf.quantize(net, dataset, advanced_parameters=advanced, **parameters))


def brevitas(net, setting, w, a, calibration, threads, folder):
    """The best documented setting for MobileNetV2 at W4A8 with float scales by channel (its table of best
    configurations): equalisation, GPTQ, bias correction. The backend layerwise keeps 8 bits in the first and last layer,
    and does not quantise additions."""
    from brevitas.graph.quantize import preprocess_for_quantize
    from brevitas_examples.imagenet_classification.ptq import ptq_common as ptq
    loader = calibration.loader(50)
    net = preprocess_for_quantize(net, equalize_iters=20, equalize_merge_bias=True, merge_bn=True,
                                  relu6_to_relu=False)  # True takes 27 points from full precision
    net = ptq.quantize_model(
        net, backend="layerwise", weight_bit_width=w, act_bit_width=a, bias_bit_width=32,
        weight_quant_granularity="per_channel", act_quant_percentile=99.999, act_quant_type="asym",
        scale_factor_type="float_scale", quant_format="int", layerwise_first_last_bit_width=8)
    net.eval()
    with torch.no_grad():
        net(torch.from_numpy(calibration.images[:2]))
    ptq.calibrate(loader, net)
    if "GPTQ" in setting:
        ptq.apply_gptq(loader, net, create_weight_orig=True)
    ptq.apply_bias_correction(loader, net)
    return "brevitas", in_torch(net)


def aimet(net, setting, w, a, calibration, threads, folder):
    """Setting: AdaRound and its iterations for each layer."""
    from aimet_torch import batch_norm_fold
    from aimet_torch.adaround.adaround_weight import Adaround, AdaroundParameters
    from aimet_torch.common.defs import QuantScheme
    from aimet_torch.quantsim import QuantizationSimModel
    dummy = torch.zeros(1, 3, 224, 224)
    batch_norm_fold.fold_all_batch_norms(net, (1, 3, 224, 224), dummy)
    edges = [(net._conv_stem, 8), (net._fc, 8)]
    settings = dict(default_param_bw=w, quant_scheme=QuantScheme.post_training_tf_enhanced)
    steps = int(setting.split()[1])
    images = [x for x, _ in calibration.loader(50)]
    parameters = AdaroundParameters(data_loader=images, num_batches=len(images), default_num_iterations=steps)
    net = Adaround.apply_adaround(net, dummy, parameters, path=folder, filename_prefix="adaround", default_param_bw=w,
                                  param_bw_override_list=edges,
                                  default_quant_scheme=QuantScheme.post_training_tf_enhanced)
    sim = QuantizationSimModel(net, dummy, default_output_bw=a, **settings)
    sim.set_and_freeze_param_encodings(os.path.join(folder, "adaround.encodings"))

    def forward(model, *_):
        with torch.no_grad():
            for x in images:
                model(x)

    sim.compute_encodings(forward)
    return "aimet-torch", in_torch(sim.model)


def main(peer, setting, w, a, checkpoint, calibration, test, threads):
    torch.set_num_threads(int(threads))
    torch.manual_seed(1)
    np.random.seed(1)
    net, calibration, test = network(checkpoint), Data(calibration), Data(test)
    run = {"float": float32, "onnxruntime": onnxruntime, "nncf": nncf, "brevitas": brevitas, "aimet": aimet}[peer]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        start = time.time()
        package, logits = run(net, setting, int(w), int(a), calibration, int(threads), folder)
        seconds = time.time() - start
        right = test.right(logits)
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in dict.fromkeys([package, "torch"]))
    print(json.dumps({"versions": versions, "seconds": round(seconds, 1), "right": right}))


if __name__ == "__main__":
    main(*sys.argv[1:])
