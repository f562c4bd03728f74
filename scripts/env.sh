# shellcheck shell=bash
# To be sourced by bash. Says where compilers, browsers and Vulkan drivers are; scripts/setup.sh installs them.
#
#   use_wasm_toolchain   from here on `cargo` is the one that can build wasm32, with a target directory of its own
#   use_lavapipe         from here on native GPU code runs on Mesa's software Vulkan driver
#   use_swiftshader      ... on the software Vulkan driver that comes with Chromium
#   mesa_runner          what starts a program with the newer lavapipe that scripts/setup.sh mesa unpacked, if it did
#   wasm_toolchain, lavapipe_icd, swiftshader_icd, find_chromium, find_chromedriver    print what they find, or fail

PPLX_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
WASM_TARGET=wasm32-unknown-unknown

# wasm-bindgen and wasm-pack are installed here, and a shell that never read its profile may lack it.
CARGO_BIN=${CARGO_HOME:-$HOME/.cargo}/bin
case ":$PATH:" in *":$CARGO_BIN:"*) ;; *) export PATH="$CARGO_BIN:$PATH" ;; esac

# Mesa and Chromium complain without one.
if [ "$(uname -s)" = Linux ] && [ -z "${XDG_RUNTIME_DIR:-}" ]; then
  XDG_RUNTIME_DIR="${TMPDIR:-/tmp}/runtime-$(id -u)"
  export XDG_RUNTIME_DIR
  (umask 077 && mkdir -p "$XDG_RUNTIME_DIR")
fi

have() { command -v "$1" >/dev/null 2>&1; }

# --- wasm32 ---------------------------------------------------------------------------------------------------------

# True where this rustc finds a core library for wasm32 and can read it (a compiler update leaves a stale one behind).
rustc_has_wasm() {
  local libdir
  libdir=$("$1" --print target-libdir --target $WASM_TARGET 2>/dev/null) || return 1
  compgen -G "$libdir/libcore-*.rlib" >/dev/null || return 1
  echo | "$1" --crate-type lib --emit metadata=- --target $WASM_TARGET - >/dev/null 2>&1
}

# Which compiler has the target: "path" (the cargo in PATH, mostly rustup's) or "debian" (the one in /usr/bin).
wasm_toolchain() {
  if rustc_has_wasm rustc; then
    echo path
  elif [ -x /usr/bin/cargo ] && rustc_has_wasm /usr/bin/rustc; then
    echo debian
  else
    return 1
  fi
}

# The two compilers differ, so wasm builds never share a target directory with native ones.
use_wasm_toolchain() {
  local kind bin=$PPLX_ROOT/target/wasm-toolchain tool
  kind=$(wasm_toolchain) || { echo "no compiler for $WASM_TARGET: run scripts/setup.sh wasm32" >&2; return 1; }
  export CARGO_TARGET_DIR=$PPLX_ROOT/target/wasm
  [ "$kind" = debian ] || return 0
  mkdir -p "$bin" # links, because all of /usr/bin first in PATH would also change node and others
  for tool in cargo rustc rustdoc cargo-clippy clippy-driver; do
    if [ -x "/usr/bin/$tool" ]; then ln -sf "/usr/bin/$tool" "$bin/$tool"; else rm -f "$bin/$tool"; fi
  done
  export PATH="$bin:$PATH"
  # Debian's rustc asks for rust-lld, which is not packaged.
  have rust-lld || export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld
}

# --- browsers and software GPUs -------------------------------------------------------------------------------------

first_command() {
  local name
  for name; do
    if [ -n "$name" ] && command -v "$name" 2>/dev/null; then return 0; fi
  done
  return 1
}

first_file() {
  local file
  for file; do
    if [ -f "$file" ]; then echo "$file"; return 0; fi
  done
  return 1
}

find_chromium() {
  first_command "${CHROME:-}" chromium chromium-browser google-chrome google-chrome-stable \
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" /Applications/Chromium.app/Contents/MacOS/Chromium
}

find_chromedriver() { first_command "${CHROMEDRIVER:-}" chromedriver /usr/lib/chromium-browser/chromedriver; }

lavapipe_icd() {
  first_file /usr/share/vulkan/icd.d/lvp_icd*.json /usr/local/share/vulkan/icd.d/lvp_icd*.json \
    /etc/vulkan/icd.d/lvp_icd*.json
}

swiftshader_icd() {
  local chromium
  chromium=$(find_chromium) || return 1
  first_file "$(dirname "$(readlink -f "$chromium")")/vk_swiftshader_icd.json" /usr/lib/chromium/vk_swiftshader_icd.json \
    /usr/lib*/chromium-browser/vk_swiftshader_icd.json /opt/google/chrome/vk_swiftshader_icd.json
}

mesa_runner() { first_file "$PPLX_ROOT/target/setup/mesa/run"; }

use_icd() {
  # VK_DRIVER_FILES, the newer name, would win over it.
  unset VK_DRIVER_FILES
  export VK_ICD_FILENAMES=$1
}

use_lavapipe() {
  local icd
  icd=$(lavapipe_icd) || { echo "no lavapipe driver: run scripts/setup.sh vulkan" >&2; return 1; }
  use_icd "$icd"
}

use_swiftshader() {
  local icd
  icd=$(swiftshader_icd) || { echo "no SwiftShader driver: run scripts/setup.sh browser" >&2; return 1; }
  use_icd "$icd"
}
