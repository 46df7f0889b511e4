"""Build of the one extension, lbfast._fastpath; everything else is in pyproject.toml.

LBFAST_BUILD selects a variant, each in its own directory under build/:
release (default), asan (AddressSanitizer), lines (line directives for objdump and perf),
coverage (line tracing, a hundred times slower), none (no extension at all).
"""

import glob
import os

from setuptools import Extension, setup

CFLAGS = [
    *("-O3", "-fno-strict-aliasing"),
    # what says inline is inlined, once for each set of constants
    *("-fno-ipa-cp-clone", "--param=inline-unit-growth=200"),
    *("--param=max-inline-insns-single=2000", "--param=large-function-growth=1000"),
]
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
    "auto_pickle": False,
    "freethreading_compatible": True,
}
ASAN = ["-fsanitize=address", "-fno-omit-frame-pointer", "-g"]
VARIANTS = {
    "release": {},
    "asan": {"cflags": ASAN, "ldflags": ASAN},
    "lines": {"cflags": ["-g"], "emit_linenums": True},
    "coverage": {"directives": {"linetrace": True}, "macros": [("CYTHON_TRACE_NOGIL", "1")]},
}


def extensions(name):
    """Cythonize the extension as the variant `name` asks."""
    if name == "none":
        return []
    from Cython.Build import cythonize

    variant = VARIANTS[name]
    extension = Extension(
        "lbfast._fastpath",
        ["lbfast/_fastpath.pyx"],
        extra_compile_args=CFLAGS + variant.get("cflags", []),
        extra_link_args=variant.get("ldflags", []),
        define_macros=variant.get("macros", []),
        depends=sorted(glob.glob("lbfast/_fast/*.px[di]")),
    )
    return cythonize(
        [extension],
        compiler_directives=DIRECTIVES | variant.get("directives", {}),
        emit_linenums=variant.get("emit_linenums", False),
        annotate=False,  # spelled out: a stale .html switches it back on
        force=True,  # tools/build.sh knows when; time stamps mislead under concurrent edits
        build_dir=f"build/{name}/c",
    )


setup(ext_modules=extensions(os.environ.get("LBFAST_BUILD", "release")))
