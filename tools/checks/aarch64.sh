#!/bin/sh
# Builds every kernel of core_ext for aarch64 with a cross compiler and, where qemu-user is installed, runs
# the friction laws there and here and compares them. It leaves what it built in OUT.
# usage: aarch64.sh PYTHON OUT [KERNEL...]      (no kernels named: all; CC_AARCH64 names another compiler)
# Needs the package gcc-aarch64-linux-gnu; qemu-user for the second part. The headers of the Python at hand
# do: both machines have the same sizes of types.
set -eu
python=$1
out=$2
shift 2
cross=${CC_AARCH64:-aarch64-linux-gnu-gcc}
if ! command -v "$cross" >/dev/null; then
    echo "aarch64: no $cross on this machine; install it: apt-get install gcc-aarch64-linux-gnu" >&2
    exit 3
fi
test $# -gt 0 || set -- $(ls core_ext/_*.pyx | sed 's,.*/\(.*\)\.pyx,\1,')
mkdir -p "$out"
includes=$("$python" -c '
import sysconfig, numpy
print("-I" + sysconfig.get_paths()["include"], "-I" + numpy.get_include(), "-Icore_ext")')
# the flags of setup.py; a warning there is an error here
flags="-O2 -g0 -ffp-contract=off -fno-math-errno -fno-trapping-math -Wall -Werror"
for kernel in "$@"; do
    "$python" -m cython -3 --output-file "$out/$kernel.c" "core_ext/$kernel.pyx"
    # shellcheck disable=SC2086
    "$cross" $flags -fPIC -shared $includes -DNPY_NO_DEPRECATED_API=NPY_1_7_API_VERSION \
        -o "$out/$kernel.so" "$out/$kernel.c" -lm
    echo "aarch64: $kernel built"
done

if ! command -v qemu-aarch64 >/dev/null; then
    echo "aarch64: no qemu-aarch64 on this machine, so nothing was run there: apt-get install qemu-user"
    exit 0
fi
smoke="-Wno-unused-function -Icore_ext tools/checks/aarch64_smoke.c -lm"
# shellcheck disable=SC2086
"$cross" $flags -static -o "$out/smoke-there" $smoke
# shellcheck disable=SC2086
cc $flags -Wno-psabi -o "$out/smoke-here" $smoke
qemu-aarch64 "$out/smoke-there" >"$out/there.txt"
"$out/smoke-here" >"$out/here.txt"
"$python" - "$out/there.txt" "$out/here.txt" <<'COMPARE'
import sys
from pathlib import Path

there, here = ([float(word) for word in Path(name).read_text().split()] for name in sys.argv[1:])
there, here = there[:-1], here[:-1]  # the last is the level, which is baseline there
if len(there) != len(here) or len(here) < 100:
    sys.exit(f"aarch64: {len(there)} figures there, {len(here)} here")
worst = max(abs(a - b) / max(abs(b), 1e-300) for a, b in zip(there, here, strict=True))
if not worst <= 1e-14:
    sys.exit(f"aarch64: figures differ by {worst:.1e} of themselves")
print(f"aarch64: {len(here)} figures agree to {worst:.1e}")
COMPARE
