"""Builds the Cython kernels of core_ext; everything else stands in pyproject.toml."""

from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup

# Results must not depend on the machine at hand: no -march=native, no -ffast-math, no contraction.
FLAGS = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]

kernels = [
    Extension(
        f"core_ext.{path.stem}",
        [path.as_posix()],
        include_dirs=[numpy.get_include(), "core_ext"],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        extra_compile_args=FLAGS,
    )
    for path in sorted(Path("core_ext").glob("_*.pyx"))
]

setup(ext_modules=cythonize(kernels, compiler_directives={"language_level": 3}) if kernels else [])
