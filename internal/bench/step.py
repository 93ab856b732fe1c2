"""The steps that pdquant is compared with, written plainly in PyTorch: reconstruction of one unit with
prediction difference, and distribution correction.

torch.clamp's gradient on its bounds is 1 up to PyTorch 2.12 and 0 in 2.15: the time is the same, trained values aren't
(see "The outermost levels" in docs/results.md).

Reads one line of JSON (the case), then lines "step N" and "dc N", and answers each with the
milliseconds that a step took. "compile 0" makes "compiled N" and "compiled-dc N" known, by
torch.compile, and is answered with the seconds that it took, or with why there is none.
"""
import json
import sys
import time

import torch
import torch.nn.functional as F

case = json.loads(sys.stdin.readline())
torch.manual_seed(0)
torch.set_num_threads(case["threads"])  # some builds take one by themselves
CUDA = case["device"] == "cuda"
if CUDA:
    torch.set_default_device("cuda")
BATCH, IMAGES, T, BITS = case["batch"], 2 * case["batch"], 4.0, 2
ROUND = lambda x: (x.round() - x).detach() + x


def walk(layers, x, param, after=lambda l, y: y, norm=None):
    """Computes layers of x."""
    values = {}
    for l in layers:
        a = [values.get(name, x) for name in l["inputs"]]
        kind, name = l["kind"], l["name"]
        if kind == "conv":
            y = F.conv2d(a[0], param(name + ".weight"), param(name + ".bias") if l["bias"] else None, l["stride"], l["pad"], 1, l["groups"])
        elif kind == "batchnorm":
            if norm:
                norm(name, a[0])
            y = F.batch_norm(a[0], param(name + ".running_mean"), param(name + ".running_var"), param(name + ".weight"), param(name + ".bias"), False, 0, l["eps"])
        elif kind == "relu":
            y = F.relu(a[0])
        elif kind == "relu6":
            y = F.relu6(a[0])
        elif kind == "add":
            y = a[0] + a[1]
        elif kind == "pad-shortcut":
            extra = l["out"] - l["in"]
            y = F.pad(a[0][:, :, :: l["stride"], :: l["stride"]], (0, 0, 0, 0, extra // 2, extra - extra // 2))
        elif kind == "maxpool":
            y = F.max_pool2d(a[0], l["kernel"], l["stride"], l["pad"])
        elif kind == "avgpool":
            y = a[0].mean((2, 3))
        elif kind == "linear":
            y = F.linear(a[0], param(name + ".weight"), param(name + ".bias"))
        else:
            raise ValueError(kind)
        values[name] = after(l, y)
    return values[layers[-1]["name"]] if layers else x


def weights(shapes):
    w = {}
    for name, shape in shapes.items():
        if name.endswith("running_var"):
            w[name] = torch.ones(shape)
        else:
            w[name] = torch.randn(shape) * (2 / max(1, torch.tensor(shape[1:]).prod().item())) ** 0.5
    return w


folded, teacher = weights(case["folded_shapes"]), weights(case["teacher_shapes"])
unit, rest = case["unit"], case["rest"]
student_in = torch.rand(IMAGES, *case["in"])
corrected_in = torch.rand(IMAGES, *case["in"])
logits = torch.randn(IMAGES, case["classes"])
with torch.no_grad():
    target = walk(unit, corrected_in, folded.get)

trained = {l["name"] + ".weight": folded[l["name"] + ".weight"] for l in unit if l["kind"] in ("conv", "linear")}
scale = {n: w.abs().amax(tuple(range(1, w.dim())), keepdim=True) / 1.5 for n, w in trained.items()}
alpha = {n: torch.zeros_like(w).requires_grad_() for n, w in trained.items()}
act_scale = {n: torch.tensor(0.3, requires_grad=True) for n in case["acts"]}
adam_alpha = torch.optim.Adam(list(alpha.values()), lr=3e-3)
adam_scale = torch.optim.Adam(list(act_scale.values()), lr=4e-5) if act_scale else None


def h(a):
    return torch.clamp(torch.sigmoid(a) * 1.2 - 0.1, 0, 1)


def soft(name):
    if name not in trained:
        return folded[name]
    s = scale[name]
    return s * (torch.clamp(torch.floor(trained[name] / s) + h(alpha[name]) + 2, 0, 2**BITS - 1) - 2)


def quantise(l, y):
    if l["name"] not in act_scale:
        return y
    s = act_scale[l["name"]]
    q = torch.clamp(ROUND(y / s), 0, 2**BITS - 1) * s
    return torch.where(torch.rand_like(y) < 0.5, q, y)


def step_loss(x, corrected, target, logits):
    mixed = torch.where(torch.rand_like(x) < 0.5, x, corrected)
    y = walk(unit, mixed, soft, quantise)
    d = (y - target).pow(2)
    loss = d.sum(1).mean()
    out = walk(rest, walk(unit, x, soft, quantise), folded.get)
    loss = loss + 10 * F.kl_div(F.log_softmax(out / T, 1), F.softmax(logits / T, 1), reduction="batchmean")
    for a in alpha.values():
        loss = loss + 0.01 * (1 - (2 * h(a) - 1).abs().pow(20)).sum()
    return loss


def step(loss=step_loss):
    i = torch.randperm(IMAGES)[:BATCH]
    adam_alpha.zero_grad()
    if adam_scale:
        adam_scale.zero_grad()
    loss(student_in[i], corrected_in[i], target[i], logits[i]).backward()
    adam_alpha.step()
    if adam_scale:
        adam_scale.step()


x0 = student_in[:BATCH].clone()
x = x0.clone().requires_grad_()
adam_x = torch.optim.Adam([x], lr=1e-3)


def dc_loss(x):
    loss = 0

    def norm(name, y):
        nonlocal loss
        m, var = teacher[name + ".running_mean"], teacher[name + ".running_var"]
        flat = y.flatten(2)
        loss = loss + ((flat.mean(2) - m) ** 2).sum(1).mean()
        if flat.shape[2] > 1:
            loss = loss + (((flat.var(2) + 1e-6).sqrt() - (var + 1e-6).sqrt()) ** 2).sum(1).mean()

    walk(case["teacher_unit"], x, teacher.get, norm=norm)
    return loss + 50 * (x - x0).pow(2).sum(1).mean()


def dc(loss=dc_loss):
    adam_x.zero_grad()
    loss(x).backward()
    adam_x.step()


known = {"step": step, "dc": dc}


def compile():
    """Compiles both losses, forward and backward; the optimisers stay as they are."""
    try:
        compiled, compiled_dc = torch.compile(step_loss), torch.compile(dc_loss)
        start = time.perf_counter()
        step(compiled)
        dc(compiled_dc)
    except Exception as e:  # no torch.compile before 2.0, no C++ compiler, ...
        return "no torch.compile: " + str(e).strip().split("\n")[0]
    known["compiled"], known["compiled-dc"] = lambda: step(compiled), lambda: dc(compiled_dc)
    return time.perf_counter() - start


where = torch.cuda.get_device_name() if CUDA else "%d threads" % torch.get_num_threads()
print("PyTorch", torch.__version__, where, flush=True)
for line in sys.stdin:
    what, n = line.split()
    if what == "compile":
        print(compile(), flush=True)
        continue
    f = known[what]
    start = time.perf_counter()
    for _ in range(int(n)):
        f()
        if CUDA:
            torch.cuda.synchronize()
    print((time.perf_counter() - start) * 1e3 / int(n), flush=True)
