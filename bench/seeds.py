#!/usr/bin/env python3
"""Means over seeds of evaluations that bench/seeds.sh made.

usage: seeds.py DIR

DIR holds files SETTING.SEED.tsv, the --per-user output of `recrank evaluate`. Printed for every setting and row: the mean over
seeds of HR@5, NDCG@5 and NDCG@10 with their deviation, and the gain in NDCG@5 over the candidates' own order with a 95 % bootstrap
interval over users, each user's gain being the mean over the seeds. Then, for settings BACKBONE-K-HISTORY, the mean gain over all
backbones. Standard library and NumPy.
"""
import collections
import glob
import math
import os
import sys

import numpy as np


def read(path):
    """Places of the test item: {user: {row: place or 0}}."""
    with open(path, encoding="utf-8") as f:
        names = f.readline().rstrip("\n").split("\t")
        users = {}
        for line in f:
            fields = dict(zip(names, line.rstrip("\n").split("\t")))
            users[fields["user"]] = {n: int(fields[n] or 0) for n in names if n not in ("user", "test_item", "tokens")}
    return users


def ndcg(place, cut):
    return 1 / math.log2(place + 1) if 0 < place <= cut else 0.0


def interval(gains, rng):
    means = [gains[rng.integers(0, len(gains), len(gains))].mean() for _ in range(2000)]
    return np.percentile(means, 2.5), np.percentile(means, 97.5)


def main():
    files = collections.defaultdict(list)
    for path in sorted(glob.glob(os.path.join(sys.argv[1], "*.tsv"))):
        setting = os.path.basename(path).rsplit(".", 2)[0]
        files[setting].append(read(path))
    rng = np.random.default_rng(1)
    all_gains = collections.defaultdict(list)  # {(k and history, row): gains by user, of each backbone}
    for setting, seeds in files.items():
        print(f"\n{setting}: {len(seeds)} seeds, {len(seeds[0])} users")
        print(f"{'row':12} {'HR@5':>15} {'NDCG@5':>15} {'NDCG@10':>15}  gain in NDCG@5")
        users = sorted(set.intersection(*(set(s) for s in seeds)))
        base = np.array([[ndcg(s[u]["backbone"], 5) for u in users] for s in seeds])
        for row in seeds[0][users[0]]:
            if not all(row in s[users[0]] for s in seeds):
                continue
            places = [[s[u][row] for u in users] for s in seeds]
            cells = []
            for value in (lambda p: float(0 < p <= 5), lambda p: ndcg(p, 5), lambda p: ndcg(p, 10)):
                means = [np.mean([value(p) for p in seed]) for seed in places]
                cells.append(f"{np.mean(means):.4f} +-{np.std(means, ddof=1) if len(means) > 1 else 0:.4f}")
            gains = (np.array([[ndcg(p, 5) for p in seed] for seed in places]) - base).mean(axis=0)
            if "-" in setting:
                all_gains[setting.split("-", 1)[1], row].append((dict(zip(users, gains)), base.mean()))
            low, high = interval(gains, rng)
            share = 100 * gains.mean() / base.mean()
            print(f"{row:12} {cells[0]:>15} {cells[1]:>15} {cells[2]:>15}  {gains.mean():+.4f} [{low:+.4f}, {high:+.4f}] {share:+.0f} %")
    for (setting, row), parts in all_gains.items():
        if len(parts) < 2 or row in ("backbone", "random", "ceiling"):
            continue
        users = sorted(set.intersection(*(set(p[0]) for p in parts)))
        gains = np.mean([[p[0][u] for u in users] for p in parts], axis=0)
        low, high = interval(gains, rng)
        share = 100 * gains.mean() / np.mean([p[1] for p in parts])
        print(f"mean of {len(parts)} backbones, {setting}, {row}: {gains.mean():+.4f} [{low:+.4f}, {high:+.4f}] {share:+.0f} %")


main()
