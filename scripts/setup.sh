#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Makes a Debian or Ubuntu machine ready: a virtual environment with the packages of pyproject.toml, a Vulkan driver,
# and the system libraries of Blender's Python module. Whatever is there already stays as it is.
#
#   scripts/setup.sh demo|test        "test" adds the test tools, the Vulkan validation layer, MPI and strace
#   PYTHON=python3.13 scripts/…       the interpreter: 3.11 (brings Blender 4.5) or 3.13 (brings Blender 5.2)
#   APT=no scripts/…                  apt is left alone: what it would install is only named
#
# The only line on stdout is the path of the environment's Python; what is done, and why, goes to stderr.
# shellcheck disable=SC2086 # the lists of packages are split into words on purpose
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

kind=${1:-test}
case $kind in demo | test) ;; *) echo "usage: scripts/setup.sh demo|test" >&2 && exit 2 ;; esac

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$@" && exit 1; }

# The system packages that a bare machine lacks. Blender's module draws nothing on a screen here, but it is linked to the
# libraries that would.
readonly libraries="libx11-6 libxext6 libxfixes3 libxi6 libxkbcommon0 libxrender1 libice6 libsm6 libgl1"
readonly driver="mesa-vulkan-drivers libvulkan1"
readonly layer_packages="vulkan-validationlayers spirv-tools"
readonly mpi="openmpi-bin"
readonly tracer="strace"

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# ===== apt, where it may

apt_is_fresh=no

may_use_apt() {
    [ "${APT:-yes}" != no ] && command -v apt-get >/dev/null &&
        { [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null; }
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then env DEBIAN_FRONTEND=noninteractive "$@"; else
        sudo -n env DEBIAN_FRONTEND=noninteractive "$@"
    fi </dev/null >"$log" 2>&1
}

refresh_apt() {
    [ "$apt_is_fresh" = yes ] && return
    as_root apt-get update || say "apt-get update failed, going on with the package lists that are there"
    apt_is_fresh=yes
}

# install_system WHY [-t RELEASE] PACKAGE...
install_system() {
    local why=$1 how=
    shift
    if ! may_use_apt; then
        say "$why: set-up may not use apt here (not root, no sudo without a password, or APT=no). Install by hand: apt install $*"
        return 1
    fi
    [ "$(id -u)" -eq 0 ] || how=" with sudo"
    say "$why: apt-get install$how $*"
    refresh_apt
    as_root apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@" && return
    tail -n 5 "$log" >&2
    say "apt-get could not install it"
    return 1
}

# ===== Python and its packages

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' </dev/null 2>/dev/null || true; }

# The first interpreter of a version that Blender's module is built for: the one asked for, the machine's own, pyenv's.
# (A pyenv shim fails for a version that is installed but not switched on, so pyenv's folders are looked at, too.)
find_python() {
    local wanted number candidate candidates=()
    case ${PYTHON:-} in
    '') wanted="3.13 3.11" candidates=(python3) ;;
    3.11 | 3.13 | python3.11 | python3.13) wanted=${PYTHON#python} ;;
    *) wanted='' candidates=("$PYTHON") ;;
    esac
    for number in $wanted; do
        candidates+=("python$number" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$number"*/bin/python)
    done
    for candidate in "${candidates[@]}"; do
        case $(version_of "$candidate") in
        3.11 | 3.13) "$candidate" -c 'import sys; print(sys.executable)' && return ;;
        esac
    done
    say "Python 3.11 or 3.13 is needed (Blender 4.5 and 5.2 are built for them)${PYTHON:+, and PYTHON=$PYTHON is neither}."
    die "Install one (Debian 12's python3 is 3.11, Debian 13's is 3.13), or name it: make PYTHON=/path/to/python3.13 …"
}

make_environment() {
    local key extras
    if [ "$(version_of "$venv/bin/python")" != "$version" ] || [ ! -x "$venv/bin/pip" ]; then
        "$python" -m ensurepip --version >/dev/null 2>&1 ||
            install_system "Python cannot make virtual environments" "python$version-venv" ||
            die "No virtual environment without it. A bare machine needs, all in all:" \
                "apt install python$version-venv $libraries $driver $layer_packages $mpi $tracer"
        say "making $venv"
        rm -rf "$venv"
        "$python" -m venv "$venv"
    fi
    key=$(cat pyproject.toml scripts/setup.sh | sha256sum)
    # What the tests need includes what the demo needs.
    ! grep -qsxF "$key" "$venv/.ready-test" "$venv/.ready-$kind" || return 0

    extras=bpy
    [ "$kind" = demo ] || extras="bpy test"
    "$venv/bin/python" - $extras >"$venv/requirements.txt" <<'PYTHON'
import sys, tomllib

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
for wanted in [project["dependencies"], *(project["optional-dependencies"][extra] for extra in sys.argv[1:])]:
    print(*wanted, sep="\n")
PYTHON
    say "installing the packages of pyproject.toml into $venv (Blender's module alone is 350 MB)"
    "$venv/bin/python" -m pip install --disable-pip-version-check -qq -r "$venv/requirements.txt" >&2 ||
        die "pip could not install them; its own words are above."
    blender_module_loads || die "Blender's Python module does not load: $(tail -n 1 "$log")"
    echo "$key" >"$venv/.ready-$kind"
}

# ===== System libraries

missing_libraries() {
    ldd "$venv"/lib/python*/site-packages/bpy/__init__.so 2>/dev/null | awk '/not found/ { print $1 }' | sort -u
}

blender_module_loads() {
    local missing
    missing=$(missing_libraries)
    if [ -n "$missing" ]; then
        install_system "Blender's Python module needs ${missing//$'\n'/ }" $libraries || true
    fi
    "$venv/bin/python" -c 'import bpy' </dev/null >"$log" 2>&1
}

# ===== Vulkan

probe() {
    found=$("$venv/bin/python" scripts/vulkan_probe.py </dev/null 2>/dev/null || echo "device=none (the driver crashed)")
    usable=$(value_of usable) software=$(value_of software) mesa=$(value_of mesa)
    layer=$(value_of layer) device=$(value_of device)
}
value_of() { sed -n "s/^$1=//p" <<<"$found"; }

release_of_debian() { (. /etc/os-release 2>/dev/null && [ "${ID:-}" = debian ] && echo "${VERSION_CODENAME:-}") || true; }

# Debian 12 has Mesa 22.3, whose processor driver runs our kernels at a third of the speed of the one in its backports.
wants_backports() {
    [ "$(release_of_debian)" = bookworm ] && [ ! -e "$venv/.backports-tried" ] || return 1
    [ "$usable" != yes ] || { [ "$software" = yes ] && [ "${mesa:-99}" -lt 23 ]; }
}

install_from_backports() {
    local kind_of_file printed status=0
    touch "$venv/.backports-tried"
    refresh_apt
    printed=$("$python" scripts/backports_source.py bookworm 2>"$log") || status=$?
    if [ $status -eq 0 ]; then
        kind_of_file=${printed%%$'\n'*}
        say "adding bookworm-backports to apt, next to the sources that are there: fluid-script-backports.$kind_of_file"
        tail -n +2 <<<"$printed" | add_source "/etc/apt/sources.list.d/fluid-script-backports.$kind_of_file" || return 1
        apt_is_fresh=no
    elif [ $status -ne 3 ]; then
        say "apt names no source of Debian itself: going on without bookworm-backports"
        return 1
    fi
    install_system "a faster Vulkan driver" -t bookworm-backports $driver
}

add_source() {
    if [ "$(id -u)" -eq 0 ]; then tee "$1"; else sudo -n tee "$1"; fi >/dev/null
}

ensure_driver() {
    if may_use_apt && wants_backports; then
        if install_from_backports; then probe; fi
    fi
    if [ "$usable" != yes ] && install_system "no Vulkan 1.3 device" $driver; then probe; fi
    [ "$usable" = yes ] && return
    say "no Vulkan 1.3 device here: $device"
    if [ "$kind" = demo ]; then die "Nothing can be simulated without one: install the graphics card's driver, or Mesa 22 or newer."; fi
    say "the tests that need one will be skipped"
}

ensure_layer() {
    [ "$layer" = yes ] || install_system "no Vulkan validation layer" $layer_packages ||
        say "the GPU tests will run without it"
}

ensure_mpi() {
    command -v mpirun >/dev/null || install_system "no MPI for runs in several processes" $mpi ||
        say "the tests of runs in several processes will be skipped"
}

ensure_tracer() {
    command -v strace >/dev/null || install_system "no strace to kill a writer at its system calls" $tracer ||
        say "the tests that do so will be skipped"
}

python=$(find_python)
version=$(version_of "$python")
venv=.venv-$version
make_environment
[ -z "$(missing_libraries)" ] || blender_module_loads || die "Blender's Python module does not load: $(tail -n 1 "$log")"
probe
ensure_driver
[ "$kind" = demo ] || { ensure_layer && ensure_mpi && ensure_tracer; }
echo "$venv/bin/python"
