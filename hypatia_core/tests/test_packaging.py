"""The distribution's description: one version, two project files that agree, the licences, the needs."""

import importlib.metadata
import re
import sys
from pathlib import Path
from typing import Any

import pytest

import hypatia_core
from conftest import CRATE, ROOT
from hypatia_core import _native

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")


def table(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    return loaded


ROOT_PROJECT = table(ROOT / "pyproject.toml")
CRATE_PROJECT = table(CRATE / "pyproject.toml")
MANIFEST = table(CRATE / "Cargo.toml")


def test_there_is_one_version() -> None:
    version = MANIFEST["package"]["version"]
    assert hypatia_core.__version__ == version
    assert importlib.metadata.version(_native.DISTRIBUTION) == version
    assert _native.package_version(CRATE / "hypatia_core") == version
    for project in (ROOT_PROJECT, CRATE_PROJECT):
        assert project["project"]["dynamic"] == ["version"]
        assert "version" not in project["project"]


def test_the_version_reads_the_same_to_cargo_and_to_python() -> None:
    # A pre-release is spelt 1.0.0-alpha.1 by the one and 1.0.0a1 by the other.
    assert re.fullmatch(r"\d+\.\d+\.\d+", MANIFEST["package"]["version"])


def test_the_two_project_files_agree() -> None:
    root, crate = ROOT_PROJECT["project"], CRATE_PROJECT["project"]
    assert crate == {name: root[name] for name in crate}
    assert set(root) - set(crate) <= {
        *(
            "classifiers",
            "description",
            "keywords",
            "license-files",
            "optional-dependencies",
            "readme",
            "urls",
        )
    }, "what an installed package works with is in both"
    assert CRATE_PROJECT["build-system"] == ROOT_PROJECT["build-system"]
    root_tool, crate_tool = ROOT_PROJECT["tool"]["maturin"], CRATE_PROJECT["tool"]["maturin"]
    assert crate_tool["module-name"] == root_tool["module-name"]
    assert (CRATE / crate_tool["python-source"]).samefile(ROOT / root_tool["python-source"])


def test_the_licences_are_there_in_full() -> None:
    assert ROOT_PROJECT["project"]["license"] == MANIFEST["package"]["license"] == "MIT OR Apache-2.0"
    mit, apache = (
        (ROOT / name).read_text(encoding="utf-8") for name in ROOT_PROJECT["project"]["license-files"]
    )
    assert "Permission is hereby granted, free of charge" in mit and "WITHOUT WARRANTY OF ANY KIND" in mit
    assert "Version 2.0, January 2004" in apache and "END OF TERMS AND CONDITIONS" in apache


def test_torch_is_the_only_requirement_at_run_time() -> None:
    names = [re.split(r"[^\w-]", requirement)[0] for requirement in ROOT_PROJECT["project"]["dependencies"]]
    assert names == ["torch"]


def test_the_crates_folder_is_not_a_package() -> None:
    # Or `import hypatia_core` from the root would find this folder instead of the package in it.
    assert not (CRATE / "__init__.py").exists()
