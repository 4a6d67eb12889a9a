from __future__ import annotations

from pathlib import Path

import pytest

from shared.files import PartFile, PlaceError, write_whole


def test_a_file_comes_to_its_place_when_it_is_kept(tmp_path: Path) -> None:
    place = tmp_path / "call.mp4"
    place.write_bytes(b"of before")
    part = PartFile(place)
    part.path.write_bytes(b"new")
    assert (part.path.name, place.read_bytes()) == ("call.part.mp4", b"of before")
    part.keep()
    part.keep()
    part.discard()
    assert place.read_bytes() == b"new"
    assert [each.name for each in tmp_path.iterdir()] == ["call.mp4"]


def test_what_is_discarded_leaves_nothing_behind(tmp_path: Path) -> None:
    place = tmp_path / "call.mp4"
    place.write_bytes(b"of before")
    part = PartFile(place)
    part.path.write_bytes(b"new")
    part.discard()
    part.discard()
    assert place.read_bytes() == b"of before"
    assert [each.name for each in tmp_path.iterdir()] == ["call.mp4"]


def test_no_part_is_written_over_another_file(tmp_path: Path) -> None:
    (tmp_path / "call.part.mp4").write_bytes(b"of a program that was killed")
    parts = [PartFile(tmp_path / "call.mp4") for _ in range(2)]
    assert [part.path.name for part in parts] == ["call.part-2.mp4", "call.part-3.mp4"]
    assert (tmp_path / "call.part.mp4").read_bytes() == b"of a program that was killed"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "call.mp4"
    link.symlink_to(tmp_path / "disk" / "film.mp4")
    write_whole(link, b"new")
    assert link.is_symlink()
    assert (tmp_path / "disk" / "film.mp4").read_bytes() == b"new"


def test_a_device_is_written_and_not_replaced() -> None:
    write_whole(Path("/dev/null"), b"nothing")
    assert Path("/dev/null").is_char_device()


def test_places_that_cannot_be_had(tmp_path: Path) -> None:
    with pytest.raises(PlaceError, match="create it first"):
        PartFile(tmp_path / "missing" / "call.mp4")
    with pytest.raises(PlaceError, match="is a folder"):
        PartFile(tmp_path)
    with pytest.raises(PlaceError, match="cannot be written"):
        PartFile(Path("/proc/call.mp4"))


def test_a_name_as_long_as_it_may_be(tmp_path: Path) -> None:
    write_whole(tmp_path / ("é" * 125 + ".mp4"), b"new")
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"new"]


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "r.json"
    place.write_bytes(b"of before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(PlaceError, match="No space left on device"):
        write_whole(place, b"new")
    assert place.read_bytes() == b"of before"
    assert [each.name for each in tmp_path.iterdir()] == ["r.json"]
