"""The network of `recrank pretrain`, trained by PyTorch on the same batches; see pytorch_train.sh.

    python3 bench/pytorch_train.py train BATCHES dim=128,layers=4,ff=384

prints one line of JSON with the seconds of each step: forward, cross-entropy, backward, clipping and
AdamW. Written to be fast in PyTorch: fused projections, the head for rows with a target alone, and
the fastest of three layouts, tried first:

    padded     every sequence padded to the longest of its batch, all the way
    attention  rows side by side, padded for attention alone
    loop       rows side by side, attention a sequence at a time

    python3 bench/pytorch_train.py compare BATCHES TRAIN_STEPS RECRANK F32_PEAK DATA SHAPE...

runs this, recrank and the peak in turn and prints the medians: tokens (no padding counted) per
second of the clock, or of the processor for one thread, where others hardly disturb.
"""
import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

EPS, THETA = 1e-5, 10000.0


def read_batches(path):
    """The vocabulary's size and [(starts, tokens, targets)], as bench/train_steps.c writes them."""
    x = np.fromfile(path, dtype=np.int32).astype(np.int64)
    at, out = 1, []
    while at < len(x):
        rows, seqs = x[at], x[at + 1]
        at += 2
        parts = np.split(x[at:at + seqs + 1 + 2 * rows], [seqs + 1, seqs + 1 + rows])
        out.append(tuple(parts))
        at += seqs + 1 + 2 * rows
    return int(x[0]), out


class Batch:
    """A batch in a layout: rows of tokens (padded or not), and where attention finds them."""

    def __init__(self, batch, layout):
        starts, tokens, targets = batch
        lengths = np.diff(starts)
        self.n_rows, self.longest, self.n_seqs = len(tokens), int(lengths.max()), len(lengths)
        position = np.concatenate([np.arange(n) for n in lengths])
        cell = np.repeat(np.arange(self.n_seqs) * self.longest, lengths) + position
        self.spans = list(zip(starts[:-1], starts[1:])) if layout == "loop" else None
        self.cell = None
        if layout == "attention":
            self.cell = torch.from_numpy(cell)
        if layout == "padded":
            size = self.n_seqs * self.longest
            padded, wanted = np.zeros(size, np.int64), np.full(size, -1)
            padded[cell], wanted[cell] = tokens, targets
            tokens, targets, position = padded, wanted, np.tile(np.arange(self.longest), self.n_seqs)
        picked = np.nonzero(targets >= 0)[0]
        self.tokens, self.positions = torch.from_numpy(tokens), torch.from_numpy(position)
        self.picked = torch.from_numpy(picked)
        self.targets = torch.from_numpy(targets[picked])


class Norm(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        if hasattr(F, "rms_norm"):
            return F.rms_norm(x, self.weight.shape, self.weight, EPS)
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS) * self.weight


def causal_attention(q, k, v, hidden):
    """[S, heads, T, d] of q, [S, kv heads, T, d] of k and v -> [S, heads, T, d]."""
    s, h, t, d = q.shape
    kv = k.shape[1]
    if hasattr(F, "scaled_dot_product_attention"):
        k, v = (x.repeat_interleave(h // kv, 1) for x in (k, v))
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    score = q.reshape(s, kv, h // kv * t, d) @ (k.transpose(2, 3) * (1 / math.sqrt(d)))
    p = torch.softmax(score.view(s, h, t, t) + hidden[:t, :t], -1)
    return (p.view(s, kv, h // kv * t, t) @ v).view(s, h, t, d)


class Layer(nn.Module):
    def __init__(self, o):
        super().__init__()
        self.o, self.d = o, o.dim // o.heads
        self.attn_norm, self.ffn_norm = Norm(o.dim), Norm(o.dim)
        self.qkv = nn.Linear(o.dim, (o.heads + 2 * o.kv) * self.d, bias=False)
        self.out = nn.Linear(o.dim, o.dim, bias=False)
        self.gate_up = nn.Linear(o.dim, 2 * o.ff, bias=False)
        self.down = nn.Linear(o.ff, o.dim, bias=False)

    def attention(self, q, k, v, b, hidden):
        if b.spans:
            parts = [causal_attention(*(x[i:j].transpose(0, 1)[None] for x in (q, k, v)), hidden)
                     for i, j in b.spans]
            return torch.cat([p[0].transpose(0, 1) for p in parts])
        if b.cell is not None:
            empty = b.n_seqs * b.longest
            q, k, v = (x.new_zeros(empty, *x.shape[1:]).index_copy(0, b.cell, x) for x in (q, k, v))
        y = causal_attention(*(x.view(b.n_seqs, b.longest, -1, self.d).transpose(1, 2)
                               for x in (q, k, v)), hidden)
        y = y.transpose(1, 2).reshape(b.n_seqs * b.longest, -1, self.d)
        return y if b.cell is None else y[b.cell]

    def forward(self, x, b, turn, hidden):
        o = self.o
        rows = x.shape[0]
        y = self.qkv(self.attn_norm(x)).view(rows, o.heads + 2 * o.kv, self.d)
        turned, v = y.split([o.heads + o.kv, o.kv], 1)
        turned = torch.view_as_complex(turned.reshape(rows, -1, self.d // 2, 2)) * turn
        q, k = torch.view_as_real(turned).flatten(2).split([o.heads, o.kv], 1)
        y = self.out(self.attention(q, k, v, b, hidden).reshape(rows, -1))
        x = x + F.dropout(y, o.dropout)
        gate, up = self.gate_up(self.ffn_norm(x)).chunk(2, -1)
        return x + F.dropout(self.down(F.silu(gate) * up), o.dropout)


class Network(nn.Module):
    def __init__(self, o, vocab):
        super().__init__()
        self.o = o
        self.embed = nn.Embedding(vocab, o.dim)
        self.layers = nn.ModuleList(Layer(o) for _ in range(o.layers))
        self.norm = Norm(o.dim)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                last = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(p, std=0.02 / (math.sqrt(2 * o.layers) if last else 1))
        d = o.dim // o.heads
        angle = torch.arange(1024)[:, None] * THETA ** (-torch.arange(0, d, 2) / d)[None]
        self.turn = torch.polar(torch.ones_like(angle), angle)
        self.hidden = torch.full((1024, 1024), -math.inf).triu(1)

    def forward(self, b):
        """The summed loss of the batch's targets."""
        x = F.dropout(self.embed(b.tokens), self.o.dropout)
        turn = self.turn[b.positions][:, None]
        for layer in self.layers:
            x = layer(x, b, turn, self.hidden)
        logits = F.linear(self.norm(x[b.picked]), self.embed.weight)
        return F.cross_entropy(logits, b.targets, reduction="sum")


def optimiser(net):
    matrices = [p for p in net.parameters() if p.dim() == 2]
    norms = [p for p in net.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": norms, "weight_decay": 0.0}]
    for faster in ({"fused": True}, {"foreach": True}, {}):  # as far as this version has them
        try:
            return torch.optim.AdamW(groups, lr=2e-3, betas=(0.9, 0.95), eps=1e-8, **faster)
        except (TypeError, RuntimeError):
            continue


def step(net, adam, b):
    adam.zero_grad(set_to_none=True)
    loss = net(b) / len(b.targets)
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    adam.step()
    return float(loss)


def timed(net, adam, batches):
    """Rows and seconds of each step, of the clock and of the processor; the last loss."""
    loss, out = math.nan, []
    for b in batches:
        wall, own = time.perf_counter(), time.process_time()
        loss = step(net, adam, b)
        out.append((b.n_rows, time.perf_counter() - wall, time.process_time() - own))
    return out, loss


def operations(net, batches):
    """Per row, of training: 6 for every weight a row meets in a product (the head for rows with a
    target), 12 dim for every key it attends to in every layer. What is computed twice counts once.
    """
    o = net.o
    rows = sum(len(b[1]) for b in batches)
    picked = sum((b[2] >= 0).sum() for b in batches) / rows
    keys = sum((n * (n + 1) // 2) for b in batches for n in np.diff(b[0])) / rows
    matrices = sum(p.numel() for name, p in net.named_parameters()
                   if p.dim() == 2 and "embed" not in name)
    return 6 * (matrices + picked * net.embed.weight.numel()) + 12 * o.layers * o.dim * keys


def shape_of(o):
    o.__dict__.update(dim=128, layers=4, heads=4, kv=2, ff=384)
    o.__dict__.update((k, int(v)) for k, v in (x.split("=") for x in o.shape.split(",")))


def train(o):
    shape_of(o)
    torch.set_num_threads(o.threads)
    torch.manual_seed(1)
    vocab, all_batches = read_batches(o.batches)
    net = Network(o, vocab)
    adam = optimiser(net)
    tried = {}
    for layout in ("padded", "attention", "loop"):
        steps, _ = timed(net, adam, [Batch(b, layout) for b in all_batches[:4]])
        tried[layout] = min(s[2] for s in steps[1:])
    layout = min(tried, key=tried.get)
    steps, loss = timed(net, adam, [Batch(b, layout) for b in all_batches[4:4 + o.steps]])
    print(json.dumps({"layout": layout, "tried": {k: round(v, 3) for k, v in tried.items()},
                      "parameters": sum(p.numel() for p in net.parameters()),
                      "operations_per_token": float(operations(net, all_batches)),
                      "loss": round(loss, 4), "steps": steps}))


def busy_seconds():
    """Of all processors since boot, what the hypervisor took away included."""
    with open("/proc/stat") as f:
        user, nice, system, _, _, irq, soft, stolen = map(int, f.readline().split()[1:9])
    return (user + nice + system + irq + soft + stolen) / os.sysconf("SC_CLK_TCK")


def wait_for_quiet(limit=30):
    for _ in range(limit):
        before = busy_seconds()
        time.sleep(1)
        if busy_seconds() - before < 0.1:
            return


def run(command, env):
    """The output, and the share of the machine that other processes took meanwhile."""
    before, start, own = busy_seconds(), time.monotonic(), os.times()
    out = subprocess.run(command, env=env, timeout=100, check=True, capture_output=True, text=True)
    spent, now = time.monotonic() - start, os.times()
    mine = sum(now[i] - own[i] for i in range(4))
    return out.stdout, max(0.0, busy_seconds() - before - mine) / spent / os.cpu_count()


def quiet_run(command, env, limit=3):
    """The first of some runs that others did not disturb, else the one disturbed least."""
    best = None
    for _ in range(limit):
        wait_for_quiet()
        try:
            out, others = run(command, env)
        except subprocess.TimeoutExpired:
            continue
        if best is None or others < best[1]:
            best = out, others
        if others < 0.03:
            break
    if best is None:
        sys.exit("the machine is too busy to measure anything; THREADS=1 counts processor time")
    return best


def rate_of(steps, clock):
    """Tokens per second of the median step; clock 1: the clock, 2: the processor."""
    return statistics.median(s[0] / s[clock] for s in steps)


def one_round(o, shape, model):
    """Rates by name, PyTorch's report, the most that others took of the machine."""
    env = dict(os.environ, LC_ALL="C")
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        env.pop(name, None)  # they keep OpenBLAS from this processor's own kernels
    # Large tensors come from memory that is kept, not mapped anew and zeroed in every step.
    torch_env = dict(env, MALLOC_MMAP_THRESHOLD_="4294967296", MALLOC_TRIM_THRESHOLD_="8589934592")
    threads, dropout, steps = str(o.threads), str(o.dropout), str(o.steps)
    clock = 2 if o.threads == 1 else 1
    measure = (lambda c, e: (run(c, e)[0], 0.0)) if o.threads == 1 else quiet_run
    s = argparse.Namespace(shape=shape)
    shape_of(s)
    numbers = [str(n) for n in (s.dim, s.layers, s.heads, s.kv, s.ff)]
    ours, a = measure([o.steps_program, o.batches, steps, threads, dropout] + numbers, env)
    ours = [[float(x) for x in line.split()] for line in ours.splitlines()]
    theirs, b = measure([sys.executable, __file__, "train", o.batches, shape, "--threads", threads,
                         "--dropout", dropout, "--steps", steps], torch_env)
    theirs = json.loads(theirs)
    peak, c = measure([o.peak, threads], env)
    rates = {"recrank": rate_of(ours, clock), "PyTorch": rate_of(theirs["steps"], clock)}
    if o.threads > 1:  # what the program itself says, of a whole pass
        whole, d = measure([o.recrank, "pretrain", "--data", o.data, "--shape", shape, "--passes",
                            "1", "-t", threads, "--dropout", dropout, "--json", "-o", model], env)
        rates["pretrain"] = json.loads(whole)["tokens_per_s"]
        a = max(a, d)
    return rates, theirs, float(peak.split()[0]), max(a, b, c)


def compare(o):
    with tempfile.TemporaryDirectory() as folder:
        for shape in o.shapes:
            rounds = [one_round(o, shape, os.path.join(folder, "model.gguf"))
                      for _ in range(o.rounds)]
            peak, report = max(r[2] for r in rounds), rounds[0][1]
            work = report["operations_per_token"]
            print(f"{shape}, dropout {o.dropout}, threads {o.threads}: {report['parameters']} "
                  f"parameters, {work / 1e6:.2f} million operations per token")
            medians = {}
            for name in rounds[0][0]:
                each = [r[0][name] for r in rounds]
                rate = medians[name] = statistics.median(each)
                print(f"  {name:9}{rate:8.0f} tokens/s ({', '.join(f'{x:.0f}' for x in each)}), "
                      f"{rate * work / 1e9:6.1f} GFLOPS, {100 * rate * work / 1e9 / peak:.1f} % of "
                      f"the peak of {peak:.0f}")
            print(f"  ratio    {medians['recrank'] / medians['PyTorch']:8.2f}; PyTorch's layouts "
                  f"{', '.join(r[1]['layout'] for r in rounds)}", end="")
            print("; seconds of the processor" if o.threads == 1 else
                  f"; others took up to {100 * max(r[3] for r in rounds):.0f} % of the machine",
                  flush=True)


def main():
    p = argparse.ArgumentParser()
    commands = p.add_subparsers(required=True)
    t, c = commands.add_parser("train"), commands.add_parser("compare")
    t.set_defaults(run=train)
    t.add_argument("batches")
    t.add_argument("shape", help="dim=128,layers=4,heads=4,kv=2,ff=384, any part of it")
    c.set_defaults(run=compare)
    for name in ("batches", "steps_program", "recrank", "peak", "data"):
        c.add_argument(name)
    c.add_argument("shapes", nargs="+")
    c.add_argument("--rounds", type=int, default=3)
    for x in (t, c):
        x.add_argument("--dropout", type=float, default=0.1)
        x.add_argument("--threads", type=int, default=2)
        x.add_argument("--steps", type=int, default=20)
    o = p.parse_args()
    o.run(o)


if __name__ == "__main__":
    main()
