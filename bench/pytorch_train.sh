#!/bin/sh
# Training speed beside PyTorch's, on the processor: the same network, batches and optimiser.
#
#     sh bench/pytorch_train.sh [SHAPE...]
#
# Needs a python that imports torch and numpy: $PYTHON, else Debian's (apt-get install python3-torch libopenblas0-openmp;
# without an optimised BLAS the comparison means nothing), else python3. DATA: a MovieLens-100K folder. ROUNDS=3,
# THREADS=2, DROPOUT=0.1, STEPS=20. Two threads need a machine where nothing else runs: it waits for that, a while, and says
# what others took. THREADS=1 counts processor time, which others hardly disturb. Asserts nothing.
set -eu
cd "$(dirname "$0")/.."
DATA=${DATA:-../shared/data/ml-100k}
CC=${CC:-cc}

for python in ${PYTHON:-} /usr/bin/python3 python3; do
    if "$python" -c 'import torch, numpy' 2>/dev/null; then
        found=$python
        break
    fi
done
if [ -z "${found:-}" ]; then
    echo "skipped: PyTorch is missing"
    exit 0
fi
if [ ! -d "$DATA" ]; then
    echo "skipped: $DATA is missing"
    exit 0
fi

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM
make -s -j1 build/recrank build/librecrank.a >&2
$CC -std=c11 -D_POSIX_C_SOURCE=200809L -O2 -I. -o "$tmp/train_steps" bench/train_steps.c build/librecrank.a -lm -lpthread
$CC -std=gnu11 -O2 -march=native -pthread -o "$tmp/f32_peak" bench/f32_peak.c
"$tmp/train_steps" "$DATA" > "$tmp/batches.i32"

sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | sort | uniq -c
$CC --version | head -n 1
git log -1 --format='recrank %h' 2>/dev/null || true
"$found" - <<'PYTHON'
import platform, re, torch
maps = open("/proc/self/maps").read()
blas = sorted(set(re.findall(r"\S*(?:blas|mkl_rt|mkl_core|accelerate)\S*\.so\S*", maps)))
level = re.search(r"CPU capability usage: (\S+)", torch.__config__.show())
print(f"PyTorch {torch.__version__}, Python {platform.python_version()}, {level[1] if level else 'unknown level'}; "
      f"BLAS: {', '.join(blas) or 'built in'}{', MKL' if torch.backends.mkl.is_available() else ''}")
if any("/blas/libblas" in b for b in blas):
    print("the reference BLAS is not optimised: this comparison means nothing")
PYTHON
[ $# -gt 0 ] || set -- dim=128,layers=4,ff=384 dim=64,layers=2,ff=192
"$found" bench/pytorch_train.py compare "$tmp/batches.i32" "$tmp/train_steps" build/recrank "$tmp/f32_peak" "$DATA" "$@" \
    --rounds "${ROUNDS:-3}" --threads "${THREADS:-2}" --dropout "${DROPOUT:-0.1}" --steps "${STEPS:-20}"
