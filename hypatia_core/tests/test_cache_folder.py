"""The folder on disk: where it is, whole files, and that its faults cost a warning and nothing more."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from hypatia_core import cache_folder
from hypatia_core.cache_folder import CacheWarning


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cache_folder.VARIABLE, str(tmp_path / "cache"))
    cache_folder.warn_once.cache_clear()
    return tmp_path / "cache"


def test_the_variable_decides(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder.cache_folder() == folder
    monkeypatch.setenv(cache_folder.VARIABLE, "")
    assert cache_folder.cache_folder() is None
    assert cache_folder.read("a") is None and not cache_folder.write("a", b"")


@pytest.mark.skipif(os.name == "nt", reason="the folders of XDG")
def test_the_platform_decides_otherwise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(cache_folder.VARIABLE, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder.cache_folder() == tmp_path / "hypatia"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder.cache_folder() == tmp_path / ".cache" / "hypatia"


def test_a_file_is_there_whole_whoever_writes_it(folder: Path) -> None:
    texts = [bytes([65 + i]) * 100_000 for i in range(4)]
    assert cache_folder.write("kind/name", texts[0])

    def write(data: bytes) -> None:
        for _ in range(20):
            assert cache_folder.write("kind/name", data)

    threads = [threading.Thread(target=write, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert cache_folder.read("kind/name") in texts
    assert [path.name for path in (folder / "kind").iterdir()] == ["name"]


def test_what_is_not_there_is_no_fault(folder: Path) -> None:
    assert cache_folder.read("nothing") is None


def test_a_folder_that_cannot_be_written_costs_one_warning(folder: Path) -> None:
    folder.write_text("a file in its place")
    with pytest.warns(CacheWarning, match="cannot be written") as caught:
        assert not cache_folder.write("a", b"") and not cache_folder.write("b", b"")
    assert len(caught) == 1
    with pytest.warns(CacheWarning, match="cannot be read"):
        assert cache_folder.read("a") is None
