#!/usr/bin/env bash
# What takes too long for every change. Pages that Next.js, webpack and esbuild build, with those from the npm registry. On
# lavapipe the full shapes of the 0.6b and 4b models with random weights and a text of 32,768 tokens, against transformers,
# and a hundred times the fuzzing. Needs 13 GB of disk under target/large, 11 GB of memory and, the first time, PyTorch from
# PyPI. The results are printed; bench/results keeps those that count.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
if [ "$(uname -s)" != Darwin ]; then use_lavapipe; fi

python=target/large/python/bin/python
if ! "$python" -c 'import torch, transformers, safetensors' 2>/dev/null; then
  echo "Python: PyTorch and transformers into target/large/python, for the oracle"
  python3 -m venv target/large/python
  "$python" -m pip install --quiet -r tests/fixtures/requirements.txt
fi
for shape in 0.6b 4b; do
  [ -e "target/large/$shape/expected.safetensors" ] ||
    "$python" tests/fixtures/make_large.py --shape "$shape" --out "target/large/$shape"
done
[ -e target/large/long/expected.safetensors ] || "$python" tests/fixtures/make_long.py --out target/large/long

node --test --test-reporter=spec --test-concurrency=1 tests/bundlers/{esbuild,next,webpack}.test.mjs
EVERY=1 node --test --test-reporter=spec --test-concurrency=1 tests/web/{arguments,recovery,storage-faults}.test.mjs \
  tests/node/arguments.test.mjs
# Kernels with barriers compile and run slowly on SwiftShader; here whole models do, and all edges of all formats.
(use_swiftshader && EVERY=1 cargo test --test native -- oracle:: kernels::)
EVERY=1 cargo test --test native -- kernels:: cache::damage::

# One at a time: the 4b model alone fills half the memory of a small machine.
cargo test --release --test native -- oracle:: --ignored
cargo test --release --test native -- large:: --ignored --nocapture --test-threads 1
PROPTEST_CASES=400000 cargo test --release --test native -- fuzz:: --skip kernels::
PROPTEST_CASES=1000000 cargo test --release --test native -- fuzz_formats::
PROPTEST_CASES=400000 cargo test --release --test native -- fuzz_index::
PROPTEST_CASES=2000 cargo test --release --test native -- kernels::fuzz::
