"""Hypatia: an equality-saturation compiler for PyTorch."""

from hypatia_core._hypatia_core import HypatiaError, __version__

__all__ = ["HypatiaError", "__version__"]
