#!/usr/bin/python3
"""What products in integers of sixteen bits cost (engine/kernel/gemm_int16.h): RMS logit error of ../shared/golden/gguf's F16
and BF16 models against float64 with x and W rounded so, beside x rounded to F16 or BF16; and what other blocks would give.

    /usr/bin/python3 bench/int16.py ../shared      # Debian's python3-numpy
"""
import numpy as np
from row_int8 import golden, oracle


def integers(v, block, half, power):
    """v in integers of sixteen bits: `block` numbers of a row with one step, of which any `half` have a norm of 46300 at
    most; power: the step is a power of two."""
    k = v.shape[-1]
    b = np.concatenate([v, np.zeros(v.shape[:-1] + (-k % block,))], -1).reshape(-1, block // half, half)
    norms = np.sqrt((b * b).sum(-1, keepdims=True)).max(1, keepdims=True)
    step = np.maximum(norms / 46300, np.abs(b).max((1, 2), keepdims=True) / 32766)
    step[step == 0] = 1
    if power:
        step = 2.0 ** np.ceil(np.log2(step))
    return (np.round(b / step) * step).reshape(v.shape[:-1] + (-1,))[..., :k]


def bfloat16(v):
    bits = np.asarray(v, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32).astype(float)


def half_float(v):
    return np.asarray(v, np.float16).astype(float)


def error(model, of_x, of_w):
    weights, cfg, tokens, truth = model
    w = {k: of_w(v) if v.ndim == 2 and "embed" not in k else v for k, v in weights.items()}
    return np.sqrt(((oracle(of_x)(w, cfg, tokens) - truth) ** 2).mean())


for name in ("F16", "BF16"):
    model = golden("tiny-" + name)
    for block, half in ((8, 8), (16, 8), (16, 16), (32, 8), (32, 16), (32, 32)):
        rms = error(model, lambda x: integers(x, block, half, False), lambda w: integers(w, block, half, True))
        print(f"{name:4}  sixteen bits, blocks of {block:2}, sums of {half:2}   RMS {rms:.6f}")
    for what, of_x in (("F16", half_float), ("BF16", bfloat16)):
        print(f"{name:4}  x rounded to {what:4}                     RMS {error(model, of_x, lambda w: w):.6f}")
