"""Builds hrw beside its source: python setup.py build_ext --inplace."""

from Cython.Build import cythonize
from setuptools import setup

from lbfast.lab import get_include

setup(
    name="hrw",
    ext_modules=cythonize("hrw.pyx", include_path=[get_include()], language_level=3),
)
