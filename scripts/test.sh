#!/usr/bin/env bash
# Runs all tests: those of Rust beside those of JavaScript, because either leaves cores idle, while one program is linked or
# a page waits for its server. A line says whose it is.
set -uo pipefail
cd "$(dirname "$0")/.."

# A name, then what to make.
part() {
  local name=$1 began=$SECONDS passed=passed
  shift
  make --no-print-directory "$@" 2>&1 | sed -u "s/^/$name | /" || passed=FAILED
  echo "$name | $passed after $((SECONDS - began)) s"
  [ $passed = passed ]
}

part rust lint test-native &
rust=$!
part js test-web test-js &
js=$!
failed=0
wait $rust || failed=1
wait $js || failed=1
exit $failed
