"""Results kept by what they were made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import benchmarks
import benchmarks.metrics
from benchmarks.cache import Cache, Figures, code_digest, default_folder, digest


def test_figures_are_made_once_and_survive_the_program(tmp_path: Path) -> None:
    made = []

    def make() -> Figures:
        made.append(1)
        return {"psnr": 30.5, "judge": {"sharp": None}}

    for _ in range(2):
        assert Cache(tmp_path / "new").remember("k", make) == {"psnr": 30.5, "judge": {"sharp": None}}
    assert len(made) == 1
    Cache(tmp_path / "new").remember("other", make)
    assert len(made) == 2


def test_a_damaged_file_is_made_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    (tmp_path / "k.json").write_text('{"psnr": 3', encoding="utf-8")
    assert cache.get("k") is None
    assert cache.remember("k", lambda: {"psnr": 31}) == {"psnr": 31}
    assert cache.get("k") == {"psnr": 31}


def test_without_a_folder_figures_last_as_long_as_the_cache(tmp_path: Path) -> None:
    cache = Cache(None)
    cache.put("k", {"a": 1})
    assert cache.get("k") == {"a": 1}
    assert Cache(None).get("k") is None


def test_a_digest_tells_contents_apart() -> None:
    picture = np.zeros((4, 4, 3), np.uint8)
    other = picture.copy()
    other[3, 3, 2] = 1
    assert digest(picture, 25.0) == digest(picture.copy(), 25.0)
    assert len({digest(picture), digest(other), digest(picture.reshape(2, 8, 3)), digest(picture.astype(np.int8))}) == 4
    assert digest("ab", "c") != digest("a", "bc")


def test_code_is_part_of_a_digest() -> None:
    assert code_digest(benchmarks.metrics) != code_digest(benchmarks)
    assert code_digest(benchmarks.metrics) == code_digest(benchmarks.metrics)


def test_caches_are_where_the_system_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "pinhole" / "benchmarks"
