"""The layers point one way, in Python and in Rust, and torch's private interfaces stay in one module.

Each table lists the layers from the lowest to the highest. A module may use those of the rows below its own,
and no others; a folder counts as one module. A new module has to be given its row here.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import CRATE

PACKAGE = CRATE / "hypatia_core"
SOURCES = CRATE / "src"

PYTHON = [
    ["_native"],
    ["_hypatia_core", "written_graph"],
    [
        *("bilinear", "cache_folder", "check", "machine", "compat", "log", "sizes", "symbolic"),
        *("graph_json", "inner_product", "packed_linear", "activation"),
    ],
    [
        "channel_map",
        "normal_product",
        "packed_attention",
        "packed_convolution",
        "packed_recurrence",
        "signed_sums",
    ],
    ["profile", "node_times"],
    ["clifford"],
    ["fusion", "native"],
    [
        "options",
        "executors",
        "notation",
        "remedy",
        "comparison",
        "enclosure",
        "linear_systems",
        "masks",
        "network_ops",
        "panels",
        "bounds",
        "selections",
    ],
    ["products"],
    ["ops"],
    ["program", "page", "terminal"],
    ["report"],
    ["diagnostics", "schema", "literals", "implementations", "weights"],
    ["timing", "packed_call", "weight_structure"],
    ["fx_import", "lowering", "split"],
    ["trace"],
    ["user_rules"],
    ["fx_export", "search", "regions"],
    ["explanation", "contractions", "shared_passes"],
    ["block_codes", "constant_indices"],
    ["ideals"],
    ["formula"],
    ["calibrate", "choice", "decisions", "equivalence"],
    ["candidates", "tiered", "training"],
    ["backend"],
    ["fx_graph", "registration", "serving"],
    ["__init__"],
    ["cli"],
    ["__main__"],
]

RUST = [
    ["error", "tensor_type", "bits", "openmp", "registers"],
    ["attribute", "clifford", "symbolic", "view"],
    ["op", "table", "bilinear"],
    ["graph", "language", "cost", "inner_product", "normal_product", "range", "team"],
    ["linear"],
    ["attention", "depthwise", "elementary"],
    ["convolution", "recurrence"],
    ["winograd"],
    ["native"],
    ["island", "memory"],
    ["analysis"],
    ["attribute_function", "condition", "evaluate"],
    ["pattern"],
    ["rules", "congruence", "extract"],
    ["step"],
    ["contraction", "merge"],
    ["saturate"],
    ["certificate"],
    ["derivation"],
    ["account"],
    ["optimize", "trial"],
    ["equivalence", "user_rule"],
    ["tensor_expression"],
    ["python"],
    ["lib"],
]

# Underscored names of torch that its documentation has, or that have no public twin and have stood for years.
SETTLED = {
    *("torch._dynamo", "torch._dynamo.register_backend", "torch._dynamo.list_backends"),
    *("torch._ops", "torch._ops.OpOverload", "torch.utils._pytree", "torch.utils._pytree.tree_map"),
}


def layer_of(table: list[list[str]]) -> dict[str, int]:
    return {name: level for level, row in enumerate(table) for name in row}


def python_files(module: str) -> list[Path]:
    folder = PACKAGE / module
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [PACKAGE / f"{module}.py"]


def python_imports(path: Path) -> Iterator[str]:
    """The modules of the package that a file imports, anywhere in it but for its types alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if not is_for_types(node)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                if parts[0] == "hypatia_core":
                    yield parts[1] if len(parts) > 1 else "__init__"
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            parts = (node.module or "").split(".")
            if parts[0] == "hypatia_core":
                for name in [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]:
                    yield name if exists_in_python(name) else "__init__"


def is_for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def exists_in_python(name: str) -> bool:
    return name == "_hypatia_core" or (PACKAGE / f"{name}.py").exists() or (PACKAGE / name).is_dir()


def rust_files(module: str) -> list[Path]:
    folder = SOURCES / module
    file = SOURCES / f"{module}.rs"
    return ([file] if file.exists() else []) + sorted(folder.rglob("*.rs"))


def rust_uses(path: Path) -> set[str]:
    """The modules of the crate that a file names, outside of its tests and comments."""
    text = path.read_text(encoding="utf-8").split("#[cfg(test)]")[0]
    text = re.sub(r"//.*", "", text)
    used = set(re.findall(r"\bcrate::(\w+)", text))
    for group in re.findall(r"\bcrate::\{(.*?)\};", text, re.DOTALL):
        used |= set(re.findall(r"(?:^|,)\s*(\w+)", group))
    return used


def modules(folder: Path, suffix: str) -> set[str]:
    files = {path.stem for path in folder.glob(f"*{suffix}")}
    folders = {path.name for path in folder.iterdir() if path.is_dir() and list(path.glob(f"*{suffix}"))}
    return files | folders


def test_every_python_module_has_a_row() -> None:
    assert modules(PACKAGE, ".py") | {"_hypatia_core"} == set(layer_of(PYTHON))


def test_every_rust_module_has_a_row() -> None:
    assert modules(SOURCES, ".rs") == set(layer_of(RUST))


@pytest.mark.parametrize("module", sorted(set(layer_of(PYTHON)) - {"_hypatia_core"}))
def test_a_python_module_imports_only_lower_layers(module: str) -> None:
    layer = layer_of(PYTHON)
    used = {name for path in python_files(module) for name in python_imports(path)} - {module}
    assert {name for name in used if layer.get(name, len(PYTHON)) >= layer[module]} == set()


@pytest.mark.parametrize("module", sorted(set(layer_of(RUST)) - {"lib"}))
def test_a_rust_module_uses_only_lower_layers(module: str) -> None:
    layer = layer_of(RUST)
    used = {name for path in rust_files(module) for name in rust_uses(path)} - {module}
    assert {name for name in used if layer.get(name, len(RUST)) >= layer[module]} == set()


def test_the_engine_has_no_python_outside_its_bindings() -> None:
    outside = [path for path in SOURCES.rglob("*.rs") if "python" not in path.parts[len(SOURCES.parts) :]]
    assert outside
    assert [
        path.name for path in outside if re.search(r"\b(pyo3|pyfunction|pyclass)\b", path.read_text("utf-8"))
    ] == []


def private_names(path: Path) -> Iterator[str]:
    """The underscored modules and attributes of torch that a file reaches for."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute):
            names = [ast.unparse(node)]
        else:
            continue
        yield from (name for name in names if re.match(r"torch(\.\w+)*\._[a-z]", name))


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(PACKAGE.rglob("*.py")) if path.stem != "compat"],
    ids=lambda path: path.stem,
)
def test_private_interfaces_of_torch_are_used_in_compat_alone(path: Path) -> None:
    assert set(private_names(path)) - SETTLED == set()
