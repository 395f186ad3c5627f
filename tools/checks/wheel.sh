#!/bin/sh
# Installs the wheel into an empty environment outside the tree, with the locked dependencies, and runs
# the demo from there: what a user gets must not lean on the source tree.
# usage: wheel.sh PYTHON WHEEL_FOLDER
set -eu
python=$1
wheel=$(ls "$2"/toplovod-*.whl)
locks=$PWD/requirements.lock
wheel=$PWD/$wheel

# every committed file that the product reads while it runs is in the wheel
git ls-files firmware supervisor core_ext tools hil_tests examples |
    grep -v -e '/tests/' -e '/measurements/' -e '\.pyx$' -e '\.ini$' | "$python" -c '
import sys, zipfile
inside = set(zipfile.ZipFile(sys.argv[1]).namelist())
missing = [name for name in sys.stdin.read().split() if name not in inside]
sys.exit(f"wheel-check: missing in the wheel: {missing}" if missing else 0)' "$wheel"

outside=$(mktemp -d)
trap 'rm -rf "$outside"' EXIT
"$python" -m venv "$outside/venv"
"$outside/venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$locks"
"$outside/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps "$wheel"
cd "$outside"
mkdir home
export HOME="$outside/home" XDG_CACHE_HOME="$outside/home/cache"
unset PYTHONPATH
echo "wheel-check: $("$outside/venv/bin/python" -c 'import tools.cli; print(tools.cli.__file__)')"
"$outside/venv/bin/toplovod" doctor
"$outside/venv/bin/toplovod" demo --for 20 --report "$outside/report"
test -s "$outside/report/report.json"
test -s "$outside/report/report.html"
echo "wheel-check: the demo ran from the wheel"
