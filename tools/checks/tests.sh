#!/bin/sh
# Every test, in two halves at once: most tests wait for a process that keeps one core busy.
# Usage: tests.sh PYTHON [pytest's options]. The first half's output follows the second's. Status: 0 all passed.
set -u
python=$1
shift
mkdir -p build
log=build/tests-first-half.log
"$python" -m pytest -p no:cacheprovider firmware core_ext tools "$@" >"$log" 2>&1 &
first=$!
trap 'kill $first 2>/dev/null' INT TERM
"$python" -m pytest supervisor hil_tests "$@"
second_status=$?
wait $first
first_status=$?
echo "== firmware, core_ext, tools"
cat "$log"
[ "$first_status" -eq 0 ] && [ "$second_status" -eq 0 ]
