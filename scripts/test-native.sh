#!/usr/bin/env bash
# Runs the Rust tests. Models run on the processor, as they do for a user whose GPU is software; the tests that a GPU has a
# part in run again with models on one, and those of kernels on a second software GPU, because the feature sets of the two
# differ: Mesa's lavapipe (f16, subgroups of 8, 128 MiB bindings) and Chromium's SwiftShader (neither f16 nor wide
# subgroups). On macOS the GPU is Metal's.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

# What reads weights, and everything between texts and vectors.
MODELS="--test codes --test context --test encode_into --test faults --test formats --test forms --test late"
KERNELS="--test kernels --test rows --test oracle --test codes --test maxsim"

if [ "$(uname -s)" != Darwin ]; then use_lavapipe; fi
echo "== the processor, and kernels on ${VK_ICD_FILENAMES:-Metal}"
cargo test
echo "== models on ${VK_ICD_FILENAMES:-Metal}"
# shellcheck disable=SC2086
PPLX_TEST_DEVICE=gpu cargo test $MODELS
if [ "$(uname -s)" = Darwin ]; then exit; fi
use_swiftshader
echo "== kernels on SwiftShader: $VK_ICD_FILENAMES"
# shellcheck disable=SC2086
PPLX_TEST_DEVICE=gpu cargo test $KERNELS
