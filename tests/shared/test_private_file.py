from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from shared.files import LARGEST, PrivateFileError, create_private, read_private, write_private

only_posix = pytest.mark.skipif(sys.platform == "win32", reason="files have no modes here")


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file"
    assert read_private(path) is None
    write_private(path, b"one")
    write_private(path, b"two")
    assert read_private(path) == b"two"
    assert [each.name for each in path.parent.iterdir()] == ["file"]


def test_the_first_of_two_that_create_a_file_wins(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert create_private(path, b"first") and not create_private(path, b"second")
    assert path.read_bytes() == b"first"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


@only_posix
def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_private(tmp_path / "new" / "one", b"")
        create_private(tmp_path / "new" / "other", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert {each.stat().st_mode & 0o777 for each in (tmp_path / "new").iterdir()} == {0o600}


@only_posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file"
    write_private(path, b"secret")
    path.chmod(mode)
    with pytest.raises(PrivateFileError, match=rf"mode {mode:o}\): close it by chmod 600") as error:
        read_private(path)
    assert "\n" not in str(error.value)


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PrivateFileError, match="folder cannot be read"):
        read_private(tmp_path / "folder")
    with pytest.raises(PrivateFileError, match="folder cannot be written"):
        write_private(tmp_path / "folder", b"")
    with pytest.raises(PrivateFileError, match="below cannot be written"):
        create_private(tmp_path / "file" / "below", b"")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder"]


def test_a_large_file_is_not_taken_in(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_private(path, bytes(LARGEST + 1))
    with pytest.raises(PrivateFileError, match="none of Pinhole's"):
        read_private(path)
