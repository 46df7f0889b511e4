#!/bin/bash
# Installs what is missing, and nothing else: tools/bootstrap.sh [base] [net] [bench]
#
# base: .venv with lbfast in editable form and all its Python tools (Debian packages python3-venv
# and python3-dev only where the interpreter lacks them).  net: the programs of
# tools/debian-packages.txt; without root they are named, not installed.  bench: those of
# tools/debian-packages-bench.txt.
set -eu
cd "$(dirname "$0")/.."
export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PIP_DISABLE_PIP_VERSION_CHECK=1
stamp=.venv/.lbfast-installed

say() { echo "bootstrap: $*" >&2; }

quietly() { # LOG COMMAND...: its output is shown only if it fails
    local log=$1
    shift
    "$@" </dev/null >"$log" 2>&1 || { tail -n 20 "$log" >&2; say "failed: $*"; return 1; }
}

apt_install() { # PACKAGE...; daemons that come with a package are not started
    local policy=/usr/sbin/policy-rc.d
    export DEBIAN_FRONTEND=noninteractive
    say "installing $*"
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod +x $policy
        trap "rm -f $policy" EXIT
    fi
    local get=(apt-get -qq -y -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0)
    get+=(--no-install-recommends)
    "${get[@]}" install "$@" </dev/null >build/apt.log 2>&1 || # lists may be missing or old
        { quietly build/apt.log "${get[@]}" update && quietly build/apt.log "${get[@]}" install "$@"; }
}

need() { # PACKAGE...: installs as root, says what to install otherwise
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt_install "$@"
    else
        say "missing; as root: apt-get install $*"
        return 1
    fi
}

pick_python() { # prints an interpreter of 3.11 or later
    local p
    for p in ${PYTHON:-} python3.11 python3; do
        if "$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$p"
            return
        fi
    done
    say "no Python of 3.11 or later: found $(python3 --version 2>&1)"
    return 1
}

build_packages() { # INTERPRETER: prints the Debian packages without which nothing can be built
    local version
    version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    "$1" -c 'import ensurepip, venv' 2>/dev/null || echo "python$version-venv"
    "$1" -c 'import os, sysconfig
raise SystemExit(not os.path.exists(sysconfig.get_paths()["include"] + "/Python.h"))' ||
        echo "python$version-dev"
    command -v "${CC:-gcc}" >/dev/null || echo gcc
}

wanted() { # what the installation depends on
    cat pyproject.toml tools/bootstrap.sh | sha256sum
    readlink -f .venv/bin/python
}

install_base() {
    local python missing
    if [ ! -x .venv/bin/pip ]; then
        python=$(pick_python)
        mapfile -t missing < <(build_packages "$python")
        [ ${#missing[@]} = 0 ] || need "${missing[@]}"
        say "making .venv with $python"
        "$python" -m venv .venv
    fi
    say "installing Python packages"
    local pip=(.venv/bin/python -m pip -q install) requires
    mapfile -t requires < <(.venv/bin/python -c '
import tomllib
print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")')
    quietly build/pip.log "${pip[@]}" "${requires[@]}"
    # the extension is built by tools/build.sh, only when its sources changed
    LBFAST_BUILD=none quietly build/pip.log "${pip[@]}" --no-build-isolation -e '.[test,dev]'
    wanted >$stamp
}

base() {
    [ "$(wanted 2>&1)" = "$(cat $stamp 2>&1)" ] && return
    exec 8>build/bootstrap.lock
    flock 8
    [ "$(wanted 2>&1)" = "$(cat $stamp 2>&1)" ] || install_base
    exec 8>&-
}

programs() { # FILE: installs what it lists
    local shows package missing=()
    while read -r shows package; do
        case $shows in
        '#'*) continue ;;
        /*) [ -e "$shows" ] || missing+=("$package") ;;
        *) command -v "$shows" >/dev/null || missing+=("$package") ;;
        esac
    done <"$1"
    [ ${#missing[@]} = 0 ] || need "${missing[@]}" ||
        say "what needs them is skipped or says so"
}

net() { programs tools/debian-packages.txt; }

bench() { programs tools/debian-packages-bench.txt; }

mkdir -p build
for group in "${@:-base}"; do "$group"; done
