#!/bin/bash
# Lines and branches reached by the tests that need no root, data path included; arguments go to
# pytest.  The report is in build/coverage/html, a summary on the terminal.
set -eu
cd "$(dirname "$0")/.."
tools/build.sh coverage
export PYTHONPATH=$PWD/build/coverage/lib:$PWD PYTHONSAFEPATH=1
export COVERAGE_FILE=$PWD/build/coverage/data
coverage=(.venv/bin/python -m coverage)
"${coverage[@]}" erase
status=0
[ $# -gt 0 ] || set -- tests/unit tests/fast tests/conformance
"${coverage[@]}" run -m pytest -q -o pythonpath= -m "not long and not soak and not net_admin" \
    --deselect tests/fast/test_fuzz_short.py "$@" || status=$?
"${coverage[@]}" combine -q
"${coverage[@]}" html -q -d build/coverage/html
"${coverage[@]}" report --skip-covered
exit $status
