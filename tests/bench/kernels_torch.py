"""PyTorch's side of kernels.rs: reads the name of a row, computes it for a turn, answers with milliseconds of each time."""

import math
import re
import sys
import time

import torch
import torch.nn.functional as F

torch.set_num_threads(int(sys.argv[1]))
torch.set_default_dtype({"F32": torch.float32, "BF16": torch.bfloat16}[sys.argv[3]])
clock = time.process_time if sys.argv[2] == "Processor" else time.perf_counter


def attention(name):
    batch, heads, tokens, context, d = map(int, re.findall(r"(\d+)x(\d+)x(\d+) to (\d+), d (\d+)", name)[0])

    def split(n):
        return torch.randn(batch, n, heads, d).transpose(1, 2).requires_grad_("train" in name)

    return F.scaled_dot_product_attention, [split(tokens), split(context), split(context)]


def of_one(name):
    shape = list(map(int, re.findall(r"\d+", re.findall(r"\[(.*)\]", name)[0])))
    x = torch.randn(shape, requires_grad="train" in name)
    width = shape[1]
    weight, bias = torch.ones(width), torch.zeros(width)
    kind = name.split(" [")[0]
    function = {
        "group norm + silu": lambda x: F.silu(F.group_norm(x, 32, weight, bias)),
        "silu": F.silu,
        "gelu": F.gelu,
        "quick gelu": lambda x: x * torch.sigmoid(1.702 * x),
        "geglu": lambda x: x.chunk(2, -1)[0] * F.gelu(x.chunk(2, -1)[1]),
        "softmax": lambda x: x.softmax(-1),
        "layer norm": lambda x: F.layer_norm(x, (width,), weight, bias),
    }[kind]
    return function, [x]


def layer(name):
    sizes = list(map(int, re.findall(r"\d+", name)))
    train = "train" in name
    if name.startswith("conv"):
        kernel, _, stride, *shape, out = sizes
        function = torch.nn.Conv2d(shape[1], out, kernel, stride, kernel // 2)
    else:
        *shape, out = sizes
        function = torch.nn.Linear(shape[1], out)
    x = torch.randn(shape, requires_grad=train)
    return function, [x, *function.parameters()] if train else [x]


def run(function, inputs):
    return function(inputs[0]) if isinstance(function, torch.nn.Module) else function(*inputs)


def prepare(name):
    if name.startswith("attention"):
        return attention(name)
    return layer(name) if name.startswith(("conv", "linear")) else of_one(name)


turn = float(sys.argv[4]) / 1e3


def compute(name, function, inputs):
    with torch.set_grad_enabled("train" in name):
        output = run(function, inputs)
        if "train" in name:
            for x in inputs:
                x.grad = None
            output.sum().backward()


rows = {}
for line in sys.stdin:
    name = line.strip()
    if name not in rows:
        function, inputs = prepare(name)
        compute(name, function, inputs)
        began = time.perf_counter()
        compute(name, function, inputs)
        rows = {name: (function, inputs, math.ceil(turn / (time.perf_counter() - began)))}
    function, inputs, repeats = rows[name]
    began = clock()
    for _ in range(repeats):
        compute(name, function, inputs)
    print((clock() - began) * 1e3 / repeats, flush=True)
