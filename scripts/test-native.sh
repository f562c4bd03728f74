#!/usr/bin/env bash
# Runs the Rust tests on two software GPUs whose feature sets differ: Mesa's lavapipe (f16, subgroups of 8, 128 MiB
# bindings) and Chromium's SwiftShader (neither f16 nor wide subgroups). On macOS they run on Metal, once.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

if [ "$(uname -s)" = Darwin ]; then exec cargo test; fi

use_lavapipe
echo "== lavapipe: $VK_ICD_FILENAMES"
cargo test
use_swiftshader
echo "== SwiftShader: $VK_ICD_FILENAMES"
cargo test --tests
