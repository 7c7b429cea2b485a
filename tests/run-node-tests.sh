#!/usr/bin/env bash
# Runs the JavaScript tests with Node's own runner: those of the web inbox, and those of the existing page's polling client.
set -euo pipefail
cd "$(dirname "$0")/.."

folders=()
for folder in tests/node web; do
    [[ -d $folder ]] && folders+=("$folder")
done
mapfile -t files < <(find "${folders[@]}" -name node_modules -prune -o \( -name '*.test.js' -o -name '*.test.mjs' \) -print | sort)
if ((${#files[@]} == 0)); then
    echo "No JavaScript tests."
    exit 0
fi
if ! command -v node >/dev/null; then
    echo "Node is not installed: the JavaScript tests are left out." >&2
    [[ -z ${CI:-} ]] || exit 1
    exit 0
fi
node --test "${files[@]}"
