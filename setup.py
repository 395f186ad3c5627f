"""Builds the Cython kernels of core_ext; everything else stands in pyproject.toml.

TOPLOVOD_KERNELS=compiled leaves them alone: `make` compiles them in place first, and an editable
installation would do it a second time.
"""

import os
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup

# Results must not depend on the machine at hand: no -march=native, no -ffast-math, no contraction.
# -g0: debug information makes the kernels ten times as large.
FLAGS = ["-O3", "-g0", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi"]
CORES = os.cpu_count() or 1

kernels = [
    Extension(
        f"core_ext.{path.stem}",
        [path.as_posix()],
        include_dirs=[numpy.get_include(), "core_ext"],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        extra_compile_args=FLAGS,
        depends=sorted(path.as_posix() for path in Path("core_ext").glob("_*.h")),
    )
    for path in sorted(Path("core_ext").glob("_*.pyx"))
]

if kernels and os.environ.get("TOPLOVOD_KERNELS") != "compiled":
    setup(
        ext_modules=cythonize(kernels, nthreads=CORES, compiler_directives={"language_level": 3}),
        options={"build_ext": {"parallel": CORES}},
    )
else:
    setup()
