#!/usr/bin/env bash
# Runs the Rust tests. Models run on the processor, as they do for a user whose GPU is software; the tests that a GPU has a
# part in run again with models on one, and those of kernels on a second software GPU, because the feature sets of the two
# differ: Mesa's lavapipe (f16, subgroups of 8, 128 MiB bindings) and Chromium's SwiftShader (neither f16 nor wide
# subgroups). On macOS the GPU is Metal's.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

# libtest takes parts of names. These files have the same endings.
OTHERS="--skip cache:: --skip eval:: --skip hub_faults:: --skip index::"
# What reads weights, and everything between texts and vectors.
MODELS="codes:: context:: encode_into:: faults:: formats:: forms:: late::"
KERNELS="kernels:: rows:: oracle:: codes:: maxsim::"

if [ "$(uname -s)" != Darwin ]; then use_lavapipe; fi
echo "== the processor, and kernels on ${VK_ICD_FILENAMES:-Metal}"
cargo test
echo "== models on ${VK_ICD_FILENAMES:-Metal}"
# shellcheck disable=SC2086
PPLX_TEST_DEVICE=gpu cargo test --test native -- $MODELS $OTHERS
if [ "$(uname -s)" = Darwin ]; then exit; fi
if runner=$(mesa_runner); then
  echo "== cooperative matrices on Mesa 26's lavapipe"
  host=$(rustc -vV | sed -n 's/^host: //p' | tr a-z- A-Z_)
  env "CARGO_TARGET_${host}_RUNNER=$runner" cargo test --test native -- kernels::fast:: precision::
else
  echo "== skipped: cooperative matrices, because Mesa 26's lavapipe is not here"
fi
use_swiftshader
# Whole models on the tiles of real GPUs take minutes here. scripts/test-full.sh has them.
OTHERS+=" --skip the_families_of_real_gpus --skip on_the_processor --skip kernels::fuzz::"
echo "== kernels on SwiftShader: $VK_ICD_FILENAMES"
# shellcheck disable=SC2086
PPLX_TEST_DEVICE=gpu cargo test --test native -- $KERNELS $OTHERS
