#!/bin/sh
# Says which of the machine's own programs are missing and the one line that installs them.
# Changes nothing. Exit status: 0 all there, 1 something is missing.
# usage: prerequisites.sh PYTHON
python=${1:-python3}
missing=""
need() { missing="$missing $1"; }

if ! command -v "$python" >/dev/null 2>&1; then
    need python3
    need python3-venv
    need python3-dev
elif ! "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; then
    echo "toplovod: $("$python" -V 2>&1) is not supported; it needs Python 3.11, 3.12 or 3.13." >&2
    echo "Nothing was changed. Name another interpreter: make PYTHON=python3.12 ..." >&2
    exit 1
else
    "$python" -c 'import venv, ensurepip' >/dev/null 2>&1 || need python3-venv
    "$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))' || need python3-dev
fi
command -v gcc >/dev/null 2>&1 || need gcc
if command -v gcc >/dev/null 2>&1; then
    echo '#include <math.h>' | gcc -E - >/dev/null 2>&1 || need libc6-dev
else
    need libc6-dev
fi
command -v make >/dev/null 2>&1 || need make
command -v git >/dev/null 2>&1 || need git

if [ -n "$missing" ]; then
    echo "toplovod: this machine lacks$missing; nothing was changed. On Debian or Ubuntu:" >&2
    echo "    sudo apt-get install --no-install-recommends$missing" >&2
    exit 1
fi
