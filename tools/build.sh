#!/bin/bash
# Builds one variant of the extension if its sources changed: tools/build.sh [release|asan|lines|coverage]
#
# release goes into the source tree (lbfast/_fastpath*.so), by rename, so that a running process
# keeps the one it has; the others become a whole package under build/<variant>/lib, to be put
# first on PYTHONPATH.  A lock lets several builds be asked for at the same time.
set -eu
cd "$(dirname "$0")/.."
variant=${1:-release}
python=.venv/bin/python
out=build/$variant
mkdir -p "$out"

sources() {
    find lbfast/_fast -name '*.px[di]' | LC_ALL=C sort
    echo lbfast/_fastpath.pyx setup.py tools/build.sh
    [ "$variant" = release ] || find lbfast -name '*.py' | LC_ALL=C sort
}
key() { # what the result depends on: the sources, the interpreter and the compilers
    { sources | xargs cat; readlink -f "$python"; ls -d .venv/lib/python*/site-packages/[cC]ython-*; \
        echo "${CC:-}${CFLAGS:-}"; } 2>&1 | sha256sum
}
product() {
    if [ "$variant" = release ]; then ls lbfast/_fastpath.*.so; else ls "$out"/lib/lbfast/_fastpath.*.so; fi
}
fresh() { [ "$(key)" = "$(cat "$out/key" 2>&1)" ] && product >"$out/product" 2>&1; }

fresh && exit 0
exec 9>"$out/lock"
flock 9
fresh && exit 0
before=$(key)
echo "build: $variant"
export LBFAST_BUILD=$variant
what=build
[ "$variant" = release ] && what=build_ext
if ! "$python" setup.py -q $what --force --build-lib "$out/lib" --build-temp "$out/tmp" \
    >"$out/log" 2>&1; then
    cat "$out/log" >&2
    exit 1
fi
grep -E '^(warning: lbfast|performance hint)' "$out/log" >&2 || : # the rest is the C compiler's
if [ "$variant" = release ]; then
    for so in "$out"/lib/lbfast/_fastpath.*.so; do
        cp "$so" "lbfast/.${so##*/}.new"
        mv -f "lbfast/.${so##*/}.new" "lbfast/${so##*/}"
    done
fi
echo "$before" >"$out/key"
