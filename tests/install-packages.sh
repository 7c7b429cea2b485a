#!/usr/bin/env bash
# Installs the Debian packages that the tests' real parts come from. Does nothing when all are here; needs root otherwise.
# In CI a part that stays missing is an error; elsewhere the tests that need it say so and are skipped.
set -euo pipefail

export PATH="$PATH:/usr/sbin:/sbin"
policy=/usr/sbin/policy-rc.d

has() { command -v "$1" >/dev/null; }
has_font() { has fc-list && [[ -n "$(fc-list "$1" family)" ]]; }

missing_packages() {
    has mariadbd && has mariadb-install-db || echo mariadb-server
    has redis-server || echo redis-server
    has chromium || has chromium-browser || has google-chrome || echo chromium
    has fc-list || echo fontconfig
    has_font 'Noto Sans Bengali' || echo fonts-noto-core
    has_font 'Noto Color Emoji' || echo fonts-noto-color-emoji
    has nginx || echo nginx-light
    has node || echo nodejs
    has npm || echo npm
    has cc || printf '%s\n' gcc libc6-dev
}

# The tests start private servers on free ports: the packages' own services stay down.
keep_services_down() {
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
}

# Thousands of lines that nobody reads, unless it fails.
quietly() {
    "$@" >"$log" 2>&1 </dev/null || {
        tail -n 50 "$log" >&2
        return 1
    }
}

mapfile -t missing < <(missing_packages)
if ((${#missing[@]} == 0)); then
    exit 0
fi

if [[ $(id -u) -ne 0 ]] || ! has apt-get; then
    echo "Not installed: ${missing[*]} (Debian package names)." >&2
    echo "As root, 'make packages' installs them; without them, tests that need them are skipped." >&2
    [[ -z ${CI:-} ]] || exit 1
    exit 0
fi

export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
keep_services_down
echo "Reading Debian's package lists ..."
quietly apt-get update
echo "Installing ${missing[*]} (some minutes) ..."
quietly apt-get install -y --no-install-recommends "${missing[@]}"
rm -f "$log"

mapfile -t missing < <(missing_packages)
if ((${#missing[@]} > 0)); then
    echo "Still missing after the installation: ${missing[*]}" >&2
    exit 1
fi
echo "Installed in $SECONDS s."
