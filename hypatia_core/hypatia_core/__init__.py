"""Hypatia: an equality-saturation compiler for PyTorch, and symbolic and geometric algebra on one engine.

Importing the package registers the backend "hypatia":

    >>> import torch, hypatia_core
    >>> model = torch.nn.Linear(4, 2)
    >>> compiled = torch.compile(model, backend="hypatia")
"""

from hypatia_core import _native

# First, so that every later import of the native module gets the build that the loader chose.
_native.load()

from hypatia_core import log

log.configure()
_native.log_choice(_native.load())

try:
    from hypatia_core._hypatia_core import (
        HypatiaError,
        PyAlgebra,
        PyMultiVector,
        PyMultiVector2D,
        PyMultiVector3D,
        Symbol,
        __version__,
        compile_fx_graph,
        is_equivalent,
        optimize_ast,
        parse_expr,
        prove_equivalent,
        set_log_level,
    )
except ImportError as error:
    raise _native.outdated(error) from error

from hypatia_core.formula import Formulas, formula
from hypatia_core.backend import hypatia_backend
from hypatia_core.calibrate import calibrate
from hypatia_core.equivalence import ModuleEquivalence, equivalent_modules
from hypatia_core.log import HypatiaWarning
from hypatia_core.options import Options, config
from hypatia_core.registration import register_backend
from hypatia_core.user_rules import rule
from hypatia_core.report import GraphReport, Report, report
from hypatia_core.symbolic.accuracy import improve_accuracy
from hypatia_core.weights import invalidate
from hypatia_core.serving import Served, compile, load  # noqa: A004

__all__ = [
    "Formulas",
    "GraphReport",
    "HypatiaError",
    "HypatiaWarning",
    "ModuleEquivalence",
    "Options",
    "PyAlgebra",
    "PyMultiVector",
    "PyMultiVector2D",
    "PyMultiVector3D",
    "Report",
    "Served",
    "Symbol",
    "__version__",
    "calibrate",
    "compile",
    "compile_fx_graph",
    "config",
    "equivalent_modules",
    "formula",
    "hypatia_backend",
    "improve_accuracy",
    "invalidate",
    "is_equivalent",
    "load",
    "optimize_ast",
    "parse_expr",
    "prove_equivalent",
    "register_backend",
    "report",
    "rule",
    "set_log_level",
]

register_backend()
