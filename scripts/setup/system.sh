# shellcheck shell=bash disable=SC2086
# Steps of scripts/setup.sh that install system packages: vulkan, browser.

# apt_install PACKAGE...: an image's package lists are often empty or old, so on a first failure they are fetched.
apt_install() {
  set -- $SUDO env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@"
  run_logged "$@" || { logged $SUDO apt-get update; logged "$@"; }
}

# A Vulkan loader, and a driver that needs no GPU.
step_vulkan() {
  if [ "$(uname -s)" = Darwin ]; then ok; return; fi # Metal is always there
  if lavapipe_icd >/dev/null && has_library libvulkan.so.1; then ok; return; fi
  have apt-get || fail "no Vulkan loader, or no lavapipe driver" "dnf install vulkan-loader mesa-vulkan-drivers"
  say "apt-get install mesa-vulkan-drivers libvulkan1"
  apt_install mesa-vulkan-drivers libvulkan1
}

has_library() {
  local ldconfig
  ldconfig=$(first_command ldconfig /sbin/ldconfig) || return 1
  [[ "$("$ldconfig" -p)" == *"$1"* ]]
}

# A browser for tests, with its WebDriver; its SwiftShader also serves native tests.
step_browser() {
  if find_chromium >/dev/null && find_chromedriver >/dev/null; then ok; return; fi
  [ "$(uname -s)" != Darwin ] || fail "no Chrome or no chromedriver" "brew install --cask google-chrome chromedriver"
  have apt-get || fail "no Chromium or no chromedriver" "dnf install chromium chromedriver"
  say "apt-get install chromium chromium-driver"
  apt_install chromium chromium-driver
}
