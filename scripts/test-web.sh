#!/usr/bin/env bash
# Runs the wasm_bindgen_test tests in headless Chromium, on WebGPU over SwiftShader (webdriver.json has the flags).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
use_wasm_toolchain

# chromedriver looks for a browser in the usual places; one that CHROME names has to be written down for it.
if [ -n "${CHROME:-}" ]; then
  export WASM_BINDGEN_TEST_WEBDRIVER_JSON=$PPLX_ROOT/target/webdriver.json
  node -e '
    const { readFileSync, writeFileSync } = require("node:fs");
    const capabilities = JSON.parse(readFileSync("webdriver.json"));
    capabilities["goog:chromeOptions"].binary = process.argv[1];
    writeFileSync(process.env.WASM_BINDGEN_TEST_WEBDRIVER_JSON, JSON.stringify(capabilities));
  ' "$(find_chromium)"
fi

# A software GPU compiles pipelines slowly: the default is 20 seconds for a whole test binary.
export WASM_BINDGEN_TEST_TIMEOUT=${WASM_BINDGEN_TEST_TIMEOUT:-1800}
# In the profile that ships. The other tests read files and start programs, which a browser does not.
wasm-pack test --headless --chrome --chromedriver "$(find_chromedriver)" -- --profile wasm --test web
