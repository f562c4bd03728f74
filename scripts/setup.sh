#!/usr/bin/env bash
# Installs what builds and tests need. A step that has nothing to do says "ok"; one that has says what it does.
#
#   scripts/setup.sh              every step but docs
#   scripts/setup.sh STEP...      of: vulkan browser mesa system rust wasm32 wasm-bindgen wasm-pack lint npm docs
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
. scripts/setup/system.sh
. scripts/setup/rust.sh

ALL_STEPS="system rust wasm32 wasm-bindgen wasm-pack lint npm"
LOGS=target/setup
SUDO=
if [ "$(id -u)" != 0 ] && have sudo; then SUDO=sudo; fi
step=
logged_step=

say() { printf 'setup: %-12s %s\n' "$step" "$*"; }
ok() { say ok; }

# fail MESSAGE [COMMAND TO RUN BY HAND]
fail() {
  say "FAILED: $1" >&2
  [ -z "${2:-}" ] || printf '  by hand: %s\n' "$2" >&2
  exit 1
}

# run_logged COMMAND...: its output goes to the step's log, which a step starts anew.
run_logged() {
  local log=$LOGS/$step.log
  mkdir -p $LOGS
  [ "$logged_step" = "$step" ] || : >"$log"
  logged_step=$step
  echo "\$ $*" >>"$log"
  "$@" >>"$log" 2>&1 </dev/null
}

# logged COMMAND...: the same, and if it fails so does the step.
logged() {
  run_logged "$@" && return
  tail -n 20 "$LOGS/$step.log" >&2
  fail "see $LOGS/$step.log" "$*"
}

# stamp FILE...: one word that changes when any of these files does.
stamp() { cat "$@" 2>/dev/null | cksum | tr ' ' -; }

# npm_ci FOLDER: installs what the package.json there names.
npm_ci() {
  local files="$1/package.json $1/package-lock.json" seen=$1/node_modules/.setup-stamp
  [ -f "$1/package.json" ] || fail "there is no $1/package.json"
  have npm || fail "node and npm are missing" "install Node 20 or newer, with npm: https://nodejs.org"
  # shellcheck disable=SC2086
  if [ -f "$seen" ] && [ "$(cat "$seen")" = "$(stamp $files)" ]; then ok; return; fi
  # Install scripts only fetch prebuilt binaries, which nothing here uses and closed networks refuse.
  if [ -f "$1/package-lock.json" ]; then
    say "npm ci"
    logged npm --prefix "$1" ci --ignore-scripts --no-audit --no-fund
  else
    say "npm install (there is no package-lock.json yet)"
    logged npm --prefix "$1" install --ignore-scripts --no-audit --no-fund --omit-lockfile-registry-resolved
  fi
  mkdir -p "$1/node_modules"
  # shellcheck disable=SC2086
  stamp $files >"$seen"
}

step_npm() { npm_ci .; }
step_docs() { npm_ci docs; }

run_step() {
  step=$1
  case $step in
    system) run_step vulkan; run_step browser; run_step mesa ;;
    vulkan | browser | mesa | rust | wasm32 | lint | npm | docs) "step_$step" ;;
    wasm-bindgen) step_wasm_bindgen ;;
    wasm-pack) step_wasm_pack ;;
    *) fail "unknown step; the steps are: vulkan browser mesa $ALL_STEPS docs" ;;
  esac
}

# shellcheck disable=SC2086
[ $# -gt 0 ] || set -- $ALL_STEPS
for name; do run_step "$name"; done
