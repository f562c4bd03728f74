#!/usr/bin/env bash
# On a machine with a GPU: are its kernels right, and how fast is a model on it? Writes bench/results/gpu-ADAPTER.json.
#   bench/gpu.sh [MODEL]     a folder, or a repository of the Hub; without one perplexity-ai/pplx-embed-v1-0.6b
# CEILING  the GPU's float32 multiply-adds and additions a second as its maker says, such as 67e12, for shares of it
# CASES    cases of `pplx-embed bench`, by default 32,32x128,8x2048,32768
# WEIGHTS  by default "q8 q4 f16"; codes are measured with activations of either precision
# DAWN=1   this package and ONNX Runtime Web in Node through Dawn, Chrome's WebGPU, too (two layers of the 0.6B width;
#          scripts/bench.sh installs what it takes, several GB). Writes bench/results/webgpu-ADAPTER-dawn.json
# TORCH    a Python with torch for this GPU and transformers, which then runs the same lengths in bfloat16 with SDPA
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/env.sh
. scripts/env.sh
model=${1:-perplexity-ai/pplx-embed-v1-0.6b}
cases=${CASES:-32,32x128,8x2048,32768}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# A wrong kernel is not worth timing.
cargo test --test native -- kernels:: rows:: oracle:: precision::
cargo build --release
for weights in ${WEIGHTS:-q8 q4 f16}; do
  for precision in exact fast; do
    case $weights-$precision in f32-fast | f16-fast) continue ;; esac
    target/release/pplx-embed bench --model "$model" --device gpu --weights "$weights" --precision $precision \
      --cases "$cases" --json > "$out/$weights-$precision.json"
  done
done
if [ -n "${TORCH:-}" ]; then
  "$TORCH" bench/kernels/torch_gpu.py "$model" "$cases" > "$out/torch.json"
fi
node bench/kernels/measured.mjs "$out" "${CEILING:-}" | tee "$out/said"
if [ "${DAWN:-}" = 1 ]; then
  scripts/build-web.sh
  name=web$(basename "$(tail -n 1 "$out/said")" .json)
  GPU=1 ONLY=ours-dawn,ort-web-dawn CASES=16,128,512,mixed WEIGHTS= NAME=$name-dawn scripts/bench.sh
fi
