#!/usr/bin/env bash
# Embeds the lines of www/sample.txt with the bundled model, keeps the vectors and shows how alike the lines are.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

CLI=target/release/pplx-embed
MODEL=models/demo
TEXTS=www/sample.txt

run() { echo "\$ $*" >&2; "$@"; }

run $CLI embed --model $MODEL --input $TEXTS --output target/demo.npy
# The one place where similarities are printed; a subcommand of the CLI would replace this line.
run $CLI embed --model $MODEL --input $TEXTS --quiet | node scripts/similarities.mjs
