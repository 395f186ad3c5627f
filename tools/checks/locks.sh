#!/bin/sh
# Resolves requirements*.lock anew: pinned, hashed, valid for Python 3.11 to 3.13, without addresses.
# Development comes first, so that what users get is what was tested. Needs `uv` on the PATH.
set -eu
command -v uv >/dev/null || {
    echo "locks: uv is not installed; nothing was changed. Install it with: pipx install uv" >&2
    exit 1
}
lock() {
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
        --no-header --no-annotate "$@"
}
rm -f requirements*.lock
lock pyproject.toml --extra dev -o requirements-dev.lock
lock pyproject.toml -c requirements-dev.lock -o requirements.lock
sed -n 's/^requires = \[\(.*\)\]$/\1/p' pyproject.toml | tr ',' '\n' | tr -d '" ' |
    lock - -c requirements-dev.lock -o requirements-build.lock
# MicroPython's types: one lock for each port, because they have modules of the same names
for stubs in stubs stubs-esp32 stubs-stm32; do
    sed -n "s/^$stubs = \[\"\(.*\)\"\]\$/\1/p" pyproject.toml | lock - -o "requirements-$stubs.lock"
done
# a program that the tests run beside the product, not a part of it
sed -n 's/^esptool = \["\(.*\)"\]$/\1/p' pyproject.toml | lock - -o requirements-esptool.lock
