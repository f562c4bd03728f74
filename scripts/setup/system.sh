# shellcheck shell=bash disable=SC2086
# Steps of scripts/setup.sh that install system packages: vulkan, browser, mesa.

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

# A newer lavapipe beside the system's, in target/setup/mesa: Mesa 26 multiplies cooperative matrices, Debian 12's driver does not.
# Tests of those are skipped where this cannot be had, so nothing fails here.
step_mesa() {
  local at=$PWD/target/setup/mesa mirror key=/usr/share/keyrings/debian-archive-keyring.gpg loader
  if mesa_runner >/dev/null; then ok; return; fi
  if ! have apt-get || [ ! -f $key ]; then say "skipped: Debian's packages have it"; return; fi
  rm -rf "$at"
  mkdir -p "$at"/{lists,cache/archives}/partial "$at/root"
  mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep '/debian/*$' | head -1)
  for suite in trixie trixie-backports; do
    echo "deb [signed-by=$key] ${mirror:-http://deb.debian.org/debian} $suite main"
  done >"$at/sources.list"
  printf 'Dir::Etc::sourcelist "%s/sources.list";\nDir::Etc::sourceparts "-";\nDir::State::lists "%s/lists";\nDir::State::status "/dev/null";\nDir::Cache "%s/cache";\n' \
    "$at" "$at" "$at" >"$at/apt.conf"
  say "Mesa 26 from trixie-backports into target/setup/mesa"
  local apt="env APT_CONFIG=$at/apt.conf apt-get"
  if ! run_logged $apt update ||
    ! run_logged $apt install -y --no-install-recommends --download-only -t trixie-backports mesa-vulkan-drivers libvulkan1 libc6; then
    say "skipped: it could not be downloaded; see $LOGS/$step.log"
    return
  fi
  for package in "$at"/cache/archives/*.deb; do logged dpkg -x "$package" "$at/root"; done
  rm -rf "$at/cache" "$at/lists"
  # Its C library is newer than the system's: programs have to start with that one's loader.
  loader=$(first_file "$at"/root/usr/lib/*/ld-linux-*.so.*) || { say "skipped: it has no loader"; return; }
  printf '{"ICD":{"api_version":"1.4.305","library_path":"%s/libvulkan_lvp.so"},"file_format_version":"1.0.0"}\n' \
    "${loader%/*}" >"$at/lavapipe.json"
  printf '#!/bin/sh\nexec env -u VK_DRIVER_FILES VK_ICD_FILENAMES="%s/lavapipe.json" "%s" --library-path "%s" "$@"\n' \
    "$at" "$loader" "${loader%/*}" >"$at/run"
  chmod +x "$at/run"
}
