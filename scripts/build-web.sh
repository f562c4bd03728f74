#!/usr/bin/env bash
# Builds dist/: the wasm module and its JavaScript glue in dist/wasm/, the model that comes with the
# package in dist/mini/, and the TypeScript facade compiled beside them. And what the demo page searches in, www/docs.jsonl.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
use_wasm_toolchain

OUT=dist/wasm
MODULE=$OUT/pplx_embed_bg.wasm
BUILT=$CARGO_TARGET_DIR/$WASM_TARGET/wasm/pplx_embed.wasm
STAMP=$CARGO_TARGET_DIR/bindgen.stamp
# What rustc's wasm32 target (.cargo/config.toml) and wasm-bindgen's output use; every browser with WebGPU has them.
FEATURES="--enable-bulk-memory --enable-bulk-memory-opt --enable-nontrapping-float-to-int --enable-sign-ext
  --enable-mutable-globals --enable-reference-types --enable-multivalue --enable-simd"

# The version of the command matters as much as the module it reads.
stamp() { { wasm-bindgen --version && cat "$BUILT" scripts/build-web.sh; } | cksum; }

bind() {
  rm -rf $OUT
  wasm-bindgen --target web --out-dir $OUT --out-name pplx_embed "$BUILT"
  # shellcheck disable=SC2086
  node_modules/.bin/wasm-opt -Oz $FEATURES "$MODULE" -o "$MODULE.opt"
  mv "$MODULE.opt" "$MODULE"
  stamp >"$STAMP"
}

cargo build --lib --profile wasm --target $WASM_TARGET
if [ ! -f $MODULE ] || [ "$(cat "$STAMP" 2>/dev/null)" != "$(stamp)" ]; then bind; fi
node scripts/bundle-mini.mjs
node_modules/.bin/tsc -p js
cp js/wasm.d.ts dist/ # tsc copies no declarations
node scripts/docs.mjs >www/docs.jsonl
node scripts/size.mjs $MODULE
