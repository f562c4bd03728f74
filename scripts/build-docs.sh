#!/usr/bin/env bash
# Builds target/site: the Markdown pages of this repository (VitePress), and beside them the API in JavaScript (TypeDoc)
# and in Rust (rustdoc). A dead link fails the build.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

SITE=target/site
BIN=docs/node_modules/.bin

node bench/render.mjs --check
$BIN/vitepress build docs
$BIN/typedoc --options docs/typedoc.json
RUSTDOCFLAGS="-D rustdoc::broken_intra_doc_links" cargo doc --no-deps --lib
mkdir -p $SITE/api
rm -rf $SITE/api/rust
cp -r "${CARGO_TARGET_DIR:-target}/doc" $SITE/api/rust
echo "The site is in $SITE: $BIN/vitepress preview docs shows it, or any server of files"
