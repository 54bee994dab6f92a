"""Builds the extension modules; everything else is in pyproject.toml.

MINIGRAD_CHECKED=1 builds them with Cython's run-time checks, in directories of
their own, so that neither build reuses a file of the other.
"""

import os
from collections.abc import Sequence
from glob import glob

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

CHECKED = os.environ.get("MINIGRAD_CHECKED", "0") == "1"
BUILD = "build/checked-base" if CHECKED else "build/base"

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": CHECKED,
    "initializedcheck": CHECKED,
    "nonecheck": CHECKED,
    "overflowcheck": CHECKED,
    "cdivision": not CHECKED,
    # Off in both: a kernel never means a negative index, so the checked build
    # reports one instead of counting from the end.
    "wraparound": False,
}

FLAGS = [
    "-O1" if CHECKED else "-O3",
    # A fused multiply-add rounds once where the source rounds twice. Compilers
    # disagree on when to use one; without it every build gives the same numbers.
    "-ffp-contract=off",
    "-Wall",
    "-Wextra",
    # What a debugger reads is four times as large as all the rest.
    "-g0",
    # At the beginning of a line: where functions happened to begin took 11 % of an
    # LSTM's gradient, of 32 units and one row.
    "-falign-functions=64",
]

# Products are twice as fast with it: each instruction set has its own last bits, and
# one source for the middle and the edges keeps them the same within a set. The others
# let a square root be an instruction.
LOOP_FLAGS = ["-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"]


class BuildExt(build_ext):
    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def build_extensions(self) -> None:
        if self.compiler.compiler_type == "msvc":
            raise SystemExit(
                "minigrad does not support MSVC, which lacks the vector extensions "
                "of C that it is written in: build it with gcc or clang."
            )
        super().build_extensions()


def extension(name: str, flags: Sequence[str] = ()) -> Extension:
    return Extension(
        name,
        [name.replace(".", "/") + ".pyx"],
        include_dirs=[numpy.get_include(), "minigrad"],
        depends=glob("minigrad/*.px[di]") + glob("minigrad/*.h"),
        define_macros=[
            ("MINIGRAD_CHECKED", str(int(CHECKED))),
            ("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION"),
        ],
        extra_compile_args=[*FLAGS, *flags],
    )


setup(
    ext_modules=cythonize(
        [
            extension("minigrad._tape"),
            extension("minigrad._loop", LOOP_FLAGS),
            extension("minigrad._memory"),
            extension("minigrad._routine"),
            extension("minigrad._kernels", LOOP_FLAGS),
        ],
        build_dir=f"{BUILD}/cython",
        compiler_directives=DIRECTIVES,
        # Cython compares dates of sources only; a changed directive counts too.
        force=True,
    ),
    cmdclass={"build_ext": BuildExt},
    options={"build": {"build_base": BUILD}},
)
