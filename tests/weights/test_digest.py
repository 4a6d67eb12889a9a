from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from weights.digest import sha256_of, size_text


def test_a_file_is_read_to_its_end(tmp_path: Path) -> None:
    content = bytes(range(256)) * 9000  # more than is read at a time
    (tmp_path / "large").write_bytes(content)
    assert sha256_of(tmp_path / "large") == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (64_000, "64 KB"), (66_929_193, "66.9 MB"), (2_112_619_148, "2.11 GB"),
     (999_900_000, "1 GB")],
)  # fmt: skip
def test_sizes(size: int, text: str) -> None:
    assert size_text(size) == text
