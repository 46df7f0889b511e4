#!/bin/bash
# Every static check; says all findings, then fails if there was one.
set -u
cd "$(dirname "$0")/.."
bin=.venv/bin
status=0
"$bin/ruff" check -q . || status=1
"$bin/ruff" format -q --check . || { echo "lint: ruff format would change these; run make format"; status=1; }
mapfile -t cython < <(find lbfast tests -name '*.px[ydi]' | LC_ALL=C sort)
"$bin/cython-lint" --ban-relative-imports "${cython[@]}" || status=1
"$bin/mypy" || status=1
exit $status
