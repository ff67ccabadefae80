#!/usr/bin/python3
"""Training of a tiny LLaMA in float64, written as a C header for tests/train_fixture_test.c:

    /usr/bin/python3 tests/train/make_fixtures.py > tests/train/fixtures.h

A person runs it (python3 and numpy); neither the build nor a test does. It shares nothing with
engine/train but the definition of the network: a sequence at a time, plain formulas, and gradients
by the complex step, Im L(w + ih) / h, which has no rounding of a difference (Squire and Trapp
1998). Hence every operation is analytic: the largest score is taken by its real part, and nothing
is conjugated.

Weights follow from their place, for C to compute the same: see weight().
"""
import math
import sys

import numpy as np

LAYERS, DIM, HEADS, KV_HEADS, HEAD_DIM, FF, VOCAB = 2, 16, 4, 2, 4, 24, 40
EPS, THETA = 1e-5, 10000.0
RANK, ALPHA = 2, 4.0
BETA1, BETA2, ADAM_EPS, DECAY, CLIP, RATE = 0.9, 0.95, 1e-8, 0.1, 1.0, 1e-2
# Two steps: the first alone is nearly RATE * sign(g), sizes show in the second. Its gradient is a
# tenth of the batch's: with a norm below CLIP, where the first's lies above.
SHARES = [1.0, 0.1]
SCALE, MODULUS = 0.5, 10007
SHIFTS = {"full": 0, "lora": 5000}  # of the place: adapters differ from the base's first weights

LENGTHS = [9, 4, 11]
TOKENS = [(i * i * 7 + i * 4 + 3) % VOCAB for i in range(sum(LENGTHS))]
WEIGHTS = [[1.0, 0.5, 2.0, 1.0, 0.25][i % 5] for i in range(sum(LENGTHS))]


def targets():
    """The next token; none after a sequence's last, nor at every seventh row."""
    out, start = [], 0
    for n in LENGTHS:
        for i in range(start, start + n):
            out.append(-1 if i == start + n - 1 or i % 7 == 2 else TOKENS[i + 1])
        start += n
    return out


TARGETS = targets()


def weight(i, norm):
    """The value at place i: a multiple of 1 / 5003 in (-1, 1), scaled, rounded to float32."""
    u = ((i * i * 17 + i * 7919) % MODULUS - 5003) / 5003
    return float(np.float32(1 + 0.25 * u if norm else SCALE * u))


MATRICES = [("q", HEADS * HEAD_DIM, DIM), ("k", KV_HEADS * HEAD_DIM, DIM),
            ("v", KV_HEADS * HEAD_DIM, DIM), ("o", DIM, HEADS * HEAD_DIM),
            ("gate", FF, DIM), ("up", FF, DIM), ("down", DIM, FF)]


def full_tensors():
    """Names and shapes, in the order of struct rr_lm's values."""
    out = [("embed", (VOCAB, DIM))]
    for l in range(LAYERS):
        out += [(f"{l}.attn_norm", (DIM,)), (f"{l}.ffn_norm", (DIM,))]
        out += [(f"{l}.{name}", (rows, cols)) for name, rows, cols in MATRICES]
    return out + [("out_norm", (DIM,))]


def lora_tensors():
    out = []
    for l in range(LAYERS):
        for name, rows, cols in MATRICES:
            if name in ("q", "v"):
                out += [(f"{l}.{name}.a", (RANK, cols)), (f"{l}.{name}.b", (rows, RANK))]
    return out


def fill(tensors, shift):
    """All values in one vector."""
    values = []
    for _, shape in tensors:
        for _ in range(math.prod(shape)):
            values.append(weight(len(values) + shift, len(shape) == 1))
    return np.array(values)


def decays(tensors):
    return np.concatenate([np.full(math.prod(shape), len(shape) == 2) for _, shape in tensors])


def unpack(tensors, values):
    out, at = {}, 0
    for name, shape in tensors:
        n = math.prod(shape)
        out[name] = values[at:at + n].reshape(shape)
        at += n
    return out


def rms_norm(x, g):
    return x / np.sqrt((x * x).mean(axis=1, keepdims=True) + EPS) * g


def rotate(x):
    """Pairs (2i, 2i + 1) of x[positions, heads, HEAD_DIM]."""
    n = x.shape[0]
    angle = np.arange(n)[:, None] * THETA ** (-2.0 * np.arange(HEAD_DIM // 2) / HEAD_DIM)[None, :]
    c, s = np.cos(angle)[:, None, :], np.sin(angle)[:, None, :]
    even, odd = x[..., 0::2], x[..., 1::2]
    return np.stack([even * c - odd * s, even * s + odd * c], axis=-1).reshape(x.shape)


def log_softmax(s):
    s = s - s.real.max(axis=-1, keepdims=True)
    return s - np.log(np.exp(s).sum(axis=-1, keepdims=True))


def linear(w, name, x):
    y = x @ w[name].T
    if name + ".a" in w:
        y = y + ALPHA / RANK * (x @ w[name + ".a"].T) @ w[name + ".b"].T
    return y


def attention(q, k, v):
    n, out = q.shape[0], []
    hidden = np.triu(np.full((n, n), -np.inf), 1)
    for h in range(HEADS):
        kv = h // (HEADS // KV_HEADS)
        p = np.exp(log_softmax(q[:, h] @ k[:, kv].T / math.sqrt(HEAD_DIM) + hidden))
        out.append(p @ v[:, kv])
    return np.concatenate(out, axis=1)


def sequence_loss(w, tokens, wanted, weights):
    x, n = w["embed"][tokens], len(tokens)
    for l in range(LAYERS):
        h = rms_norm(x, w[f"{l}.attn_norm"])
        q, k, v = (linear(w, f"{l}.{m}", h).reshape(n, -1, HEAD_DIM) for m in "qkv")
        x = x + linear(w, f"{l}.o", attention(rotate(q), rotate(k), v))
        h = rms_norm(x, w[f"{l}.ffn_norm"])
        gate = linear(w, f"{l}.gate", h)
        x = x + linear(w, f"{l}.down", gate / (1 + np.exp(-gate)) * linear(w, f"{l}.up", h))
    logp = log_softmax(rms_norm(x, w["out_norm"]) @ w["embed"].T)
    return -sum(weights[i] * logp[i, t] for i, t in enumerate(wanted) if t >= 0)


def loss(w):
    """Over the batch, weighted and summed."""
    total, start = 0, 0
    for n in LENGTHS:
        rows = slice(start, start + n)
        total += sequence_loss(w, TOKENS[rows], TARGETS[rows], WEIGHTS[rows])
        start += n
    return total


def gradient(tensors, values, base):
    """Of the loss per target."""
    step, n_targets = 1e-30, sum(t >= 0 for t in TARGETS)
    out, point = np.empty(len(values)), values.astype(complex)
    for i in range(len(values)):
        point[i] += 1j * step
        out[i] = loss({**base, **unpack(tensors, point)}).imag / step / n_targets
        point[i] = values[i]
    return out


def train(tensors, values, base):
    """Loss, gradient and its norm before each step, and the values after it."""
    m, v, out = np.zeros(len(values)), np.zeros(len(values)), []
    for t, share in enumerate(SHARES, 1):
        before = float(loss({**base, **unpack(tensors, values)}))
        g = share * gradient(tensors, values, base)
        norm = math.sqrt((g * g).sum())
        clipped = g * (CLIP / norm if norm > CLIP else 1)
        m = BETA1 * m + (1 - BETA1) * clipped
        v = BETA2 * v + (1 - BETA2) * clipped ** 2
        values = values - RATE * DECAY * decays(tensors) * values \
            - RATE * (m / (1 - BETA1 ** t)) / (np.sqrt(v / (1 - BETA2 ** t)) + ADAM_EPS)
        out.append((before, g, norm, values))
        print(f"step {t}: loss {before:.6f}, norm {norm:.6f}, smallest part "
              f"{abs(clipped).min():.1e}", file=sys.stderr)
    return out


def array(name, numbers, form, kind="double"):
    lines, line = [], "   "
    for x in numbers:
        text = f" {form % x},"
        if len(line) + len(text) > 100:
            lines.append(line)
            line = "   "
        line += text
    print(f"static const {kind} {name}[] = {{")
    print("\n".join(lines + [line]))
    print("};")


def write(name, run):
    array(f"{name}_losses", [r[0] for r in run], "%.17g")
    array(f"{name}_norms", [r[2] for r in run], "%.17g")
    array(f"{name}_grads_1", run[0][1], "%.7g")
    for t, (_, _, _, values) in enumerate(run, 1):
        array(f"{name}_values_{t}", values, "%.8f")


def main():
    print("/* Generated by tests/train/make_fixtures.py, which says what it is: do not edit. */")
    print("/* clang-format off */")
    for name in ("LAYERS", "DIM", "HEADS", "KV_HEADS", "HEAD_DIM", "FF", "VOCAB", "RANK", "MODULUS",
                 "EPS", "THETA", "ALPHA", "SCALE", "RATE"):
        print(f"#define FIXTURE_{name} {globals()[name]!r}")
    print(f"#define FIXTURE_LORA_SHIFT {SHIFTS['lora']}")
    print(f"#define FIXTURE_STEPS {len(SHARES)}")
    print(f"#define FIXTURE_TARGETS {sum(t >= 0 for t in TARGETS)}")
    starts = np.concatenate([[0], np.cumsum(LENGTHS)])
    array("fixture_starts", starts, "%d", "int")
    array("fixture_tokens", TOKENS, "%d", "int")
    array("fixture_targets", TARGETS, "%d", "int")
    array("fixture_weights", WEIGHTS, "%.2ff", "float")
    array("fixture_shares", SHARES, "%.17g")
    full, lora = full_tensors(), lora_tensors()
    base = fill(full, SHIFTS["full"])
    write("fixture_full", train(full, base, {}))
    write("fixture_lora", train(lora, fill(lora, SHIFTS["lora"]), unpack(full, base)))
    print("/* clang-format on */")


main()
