#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Takes a package through a real Blender, as an artist does: install the zip, enable it, add a preset, press Run Simulation,
# look at the last of the VDB frames that its object shows, render it, and remove the extension. Any failure ends it with a
# status that is not 0. `make test-blender` makes the same trip with a window and a mouse.
#
#   scripts/try_extension.sh [ZIP]                 the zip; default the one of dist/ for this platform
#   BLENDER=/opt/blender/blender scripts/…         which Blender; default the one on the PATH
#   KEEP=FOLDER scripts/…                          where the bake and the picture stay; default nowhere
#
# Blender's own settings and the caches of this user are not touched: the trip has folders of its own.
set -euo pipefail
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
blender=${BLENDER:-blender}

say() { printf 'trip: %s\n' "$*"; }
die() { printf 'trip: FAILED: %s\n' "$*" >&2 && exit 1; }

command -v "$blender" >/dev/null || die "there is no $blender; name one: BLENDER=/path/to/blender $0"
case $(uname -s)-$(uname -m) in
Linux-x86_64) platform=linux-x64 ;;
Darwin-arm64) platform=macos-arm64 ;;
MINGW*-x86_64 | MSYS*-x86_64) platform=windows-x64 ;;
*) platform=unknown ;;
esac
zip=${1:-$(find "$scripts/../dist" -maxdepth 1 -name "fluid_addon-*-$platform.zip" 2>/dev/null | sort | tail -n 1)}
[ -f "$zip" ] || die "there is no package for $platform; build one: make extension"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/blender" "$work/cache" "${KEEP:-$work/out}"
out=$(cd "${KEEP:-$work/out}" && pwd)
export BLENDER_USER_RESOURCES=$work/blender XDG_CACHE_HOME=$work/cache
unset PYTHONPATH PYTHONHOME

# run_blender STEP ARGUMENTS...: what Blender prints is shown where the step fails, and kept in the log of the step.
run_blender() {
    local step=$1 log=$work/$1.log
    shift
    "$blender" "$@" </dev/null >"$log" 2>&1 || { cat "$log" >&2 && die "$step"; }
    # Blender ends with status 0 also where enabling an extension raised an error, and only says so.
    if grep -qE '^(Traceback|ERROR|Error|FATAL)|Error: ' "$log"; then cat "$log" >&2 && die "$step"; fi
}

say "$(basename "$zip") in $("$blender" --version | sed -n 1p)"
run_blender validate --command extension validate "$zip"
say "validated"
run_blender install --command extension install-file -r user_default --enable "$zip"
say "installed and enabled"
"$blender" -b --python-exit-code 1 --python "$scripts/try_extension.py" -- "$out" </dev/null >"$work/use.log" 2>&1 ||
    { cat "$work/use.log" >&2 && die "using it"; }
sed -n 's/^trip: /trip: /p' "$work/use.log"
grep -q '^trip: the end$' "$work/use.log" || { cat "$work/use.log" >&2 && die "the script inside Blender did not come to its end"; }
run_blender remove --command extension remove fluid_addon
[ ! -e "$work/blender/extensions/user_default/fluid_addon" ] || die "removing it left its folder"
say "removed"
say "OK"
