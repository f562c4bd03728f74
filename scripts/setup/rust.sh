# shellcheck shell=bash disable=SC2086
# Steps of scripts/setup.sh for compilers and cargo's tools: rust, wasm32, wasm-bindgen, wasm-pack, lint.

step_rust() {
  have cargo || fail "cargo is missing" "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
  if have cc; then ok; return; fi # cargo links with it
  have apt-get || fail "there is no C compiler to link with" "xcode-select --install (macOS), or install gcc"
  say "apt-get install gcc libc6-dev"
  apt_install gcc libc6-dev
}

# rustup is the ordinary way. Where it cannot download, Debian ships a current compiler with the sources of std.
step_wasm32() {
  if wasm_toolchain >/dev/null; then ok; return; fi
  if have rustup && run_logged rustup target add $WASM_TARGET; then
    say "rustup target add $WASM_TARGET"
  elif have apt-get; then
    say "rustup has no $WASM_TARGET: installing Debian's compiler and building std with it, once"
    (apt_install rustc-web cargo-web rust-web-src rust-web-llvm lld) && { rustc_has_wasm /usr/bin/rustc || build_std; }
  fi
  wasm_toolchain >/dev/null || fail "there is no compiler for $WASM_TARGET" "rustup target add $WASM_TARGET"
}

# Builds std in an empty crate with Debian's compiler and puts it where that compiler looks for it.
build_std() {
  local scratch libdir deps
  scratch=$(mktemp -d)
  deps=$scratch/target/$WASM_TARGET/release/deps
  libdir=$(/usr/bin/rustc --print target-libdir --target $WASM_TARGET)
  mkdir "$scratch/src"
  touch "$scratch/src/lib.rs"
  printf '[package]\nname = "empty"\nversion = "0.0.0"\nedition = "2024"\n' >"$scratch/Cargo.toml"
  logged env RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc RUSTC_BOOTSTRAP=1 \
    /usr/bin/cargo build -Z build-std=std,panic_abort,test --release --target $WASM_TARGET \
    --manifest-path "$scratch/Cargo.toml" --target-dir "$scratch/target"
  rm "$deps"/libempty-*.rlib
  logged $SUDO mkdir -p "$libdir"
  logged $SUDO find "$libdir" -name '*.rlib' -delete # an older compiler's
  logged $SUDO install -m 644 "$deps"/*.rlib "$libdir"
  rm -rf "$scratch"
}

# cargo_tool CRATE COMMAND [VERSION]: installed, unless COMMAND is there and is that VERSION.
cargo_tool() {
  local crate=$1 command=$2 version=${3:-} found
  if have "$command"; then
    found=$("$command" --version)
    if [ -z "$version" ] || [[ " $found " == *" $version "* ]]; then ok; return; fi
  fi
  set -- install "$crate" ${version:+--version "$version"}
  say "cargo $* (takes minutes)"
  # They work for seconds. Unoptimized they are built in half the time.
  logged env CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_TARGET_DIR=target/setup/build cargo "$@"
  rm -rf target/setup/build
}

# The command must be exactly the version of the crate.
step_wasm_bindgen() {
  local version
  version=$(locked_version wasm-bindgen)
  [ -n "$version" ] || fail "neither Cargo.lock nor Cargo.toml names an exact version of wasm-bindgen"
  cargo_tool wasm-bindgen-cli wasm-bindgen "$version"
}

# locked_version CRATE: from Cargo.lock, or where there is none yet from a line `CRATE = "=1.2.3"` of Cargo.toml.
locked_version() {
  local found=
  [ -f Cargo.lock ] && found=$(awk -v crate="\"$1\"" -F' = ' \
    '$1 == "name" { name = $2 } $1 == "version" && name == crate { gsub("\"", "", $2); print $2; exit }' Cargo.lock)
  echo "${found:-$(sed -n "s/^$1 = .*\"=\([0-9.]*\)\".*/\1/p" Cargo.toml)}"
}

step_wasm_pack() { cargo_tool wasm-pack wasm-pack; }

# rustfmt and clippy for native code, and the clippy that belongs to the compiler used for wasm32.
step_lint() {
  local missing=
  cargo fmt --version >/dev/null 2>&1 || missing=rustfmt
  cargo clippy --version >/dev/null 2>&1 || missing="$missing clippy"
  if [ -n "$missing" ]; then
    have rustup || fail "missing: $missing" "install rustfmt and clippy for your Rust toolchain"
    say "rustup component add $missing"
    logged rustup component add $missing
  elif [ "$(wasm_toolchain)" = debian ] && [ ! -x /usr/bin/cargo-clippy ]; then
    say "apt-get install rust-web-clippy"
    apt_install rust-web-clippy
  else
    ok
  fi
}
