#!/usr/bin/env bash
# Embeds the lines of www/sample.txt with models/mini and shows how alike they are, then searches in the documentation.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

CLI=target/release/pplx-embed
MODEL=models/mini
TEXTS=www/sample.txt
DOCS=www/docs.jsonl
QUERY="what happens when the disk is full?"

run() { echo "\$ $*" >&2; "$@"; }

run $CLI embed --model $MODEL --input $TEXTS --output target/demo.npy
# The one place where similarities are printed; a subcommand of the CLI would replace this line.
run $CLI embed --model $MODEL --input $TEXTS --quiet | node scripts/similarities.mjs
run $CLI search --model $MODEL --corpus $DOCS --k 3 --quiet "$QUERY" | cut -c 1-200
