#!/usr/bin/env bash
# Runs the Rust tests on two software GPUs whose feature sets differ: Mesa's lavapipe (f16, subgroups of 8, 128 MiB
# bindings) and Chromium's SwiftShader (neither f16 nor wide subgroups). On macOS they run on Metal, once.
# Tests of files and the Hub, and of commands, which only call what other tests compute, run on the first only.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

if [ "$(uname -s)" = Darwin ]; then exec cargo test; fi

use_lavapipe
echo "== lavapipe: $VK_ICD_FILENAMES"
cargo test
use_swiftshader
echo "== SwiftShader: $VK_ICD_FILENAMES"
names=()
for path in tests/*.rs tests/*/main.rs; do
  name=${path#tests/}
  name=${name%/main.rs}
  case ${name%.rs} in
    cache | cli | config | eval | fuzz* | hub* | quantise | quantize_command | search_command | tokenizer | verify | web) ;;
    *) names+=(--test "${name%.rs}") ;;
  esac
done
cargo test "${names[@]}"
