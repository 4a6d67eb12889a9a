from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from shared.models.stored_weights import folder, stored
from weights.errors import WeightsError
from weights.record import Record, Stored, renew
from weights.verify import damage, embedded, verify

DATA = b"weights" * 100
STORED = Stored(
    "a.safetensors", "a", hashlib.sha256(DATA).hexdigest(), len(DATA), "https://example.org/a.pth", "b" * 64,
    "2026-01-02T03:04:05+00:00", "CC BY-NC 4.0", True,
)  # fmt: skip


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    folder().mkdir(parents=True)
    return folder()


@pytest.fixture
def record() -> Record:
    record = Record()
    record.add([STORED])
    record.save()
    stored(STORED.file).write_bytes(DATA)
    return record


def problems(record: Record) -> dict[str, str]:
    return {file.path.name: file.problem for file in verify(record) if file.problem}


def test_a_record_is_read_as_it_was_written(record: Record) -> None:
    assert Record.load().files == record.files
    assert Record.load().of("a") == [STORED]
    assert Record.load().of("b") == []


def test_no_store_has_an_empty_record(store: Path) -> None:
    assert Record.load().files == {}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"version": 1, "files": []}', '{"version": 2, "files": {}}', "[" * 100_000, "\x00"],
)
def test_a_damaged_record_is_said_to_be_so(text: str) -> None:
    Record.path().write_text(text)
    with pytest.raises(WeightsError, match=r"store\.json cannot be read .*move it away"):
        Record.load()


@pytest.mark.parametrize(
    ("field", "value"),
    [("sha256", "0"), ("sha256", 3), ("origin_sha256", None), ("size", -1), ("size", True), ("size", "1"),
     ("accepted", "yes"), ("name", None), ("origin", 1), ("licence", []), ("when", 0), ("surprise", 1)],
)  # fmt: skip
def test_a_wrong_field_of_a_record_is_refused(field: str, value: object, record: Record) -> None:
    whole: dict[str, Any] = json.loads(Record.path().read_text())
    whole["files"][STORED.file][field] = value
    Record.path().write_text(json.dumps(whole))
    with pytest.raises(WeightsError, match=r"its entry 'a\.safetensors'"):
        Record.load()


@pytest.mark.parametrize("file", ["../../a.safetensors", "/etc/passwd", "a/b"])
def test_a_record_cannot_name_files_elsewhere(file: str, record: Record) -> None:
    whole: dict[str, Any] = json.loads(Record.path().read_text())
    whole["files"][file] = whole["files"].pop(STORED.file)
    Record.path().write_text(json.dumps(whole))
    with pytest.raises(WeightsError, match="is not one of a file"):
        Record.load()


def test_whole_files_have_no_problem(record: Record) -> None:
    assert problems(record) == {}
    assert {file.name for file in verify(record)} == {*embedded(), "a"}


def test_a_changed_byte_is_found(record: Record) -> None:
    stored(STORED.file).write_bytes(b"W" + DATA[1:])
    assert "is damaged" in problems(record)[STORED.file]
    assert "python -m weights fetch a" in damage(STORED)


def test_a_cut_off_and_a_missing_file_are_found(record: Record) -> None:
    stored(STORED.file).write_bytes(DATA[:-1])
    assert problems(record)[STORED.file].startswith("has 699 bytes, expected 700")
    stored(STORED.file).unlink()
    assert problems(record)[STORED.file].startswith("is missing")


def test_a_damaged_embedded_file_is_found(
    record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    (tmp_path / "broken").write_bytes(b"x")
    monkeypatch.setattr("weights.verify.embedded_path", lambda entry: tmp_path / "broken")
    assert "install pinhole again" in problems(record)["broken"]


def test_a_file_that_was_written_anew_can_be_recorded(record: Record) -> None:
    stored(STORED.file).write_bytes(DATA * 2)
    renew(stored(STORED.file), "fitted to clips")
    [entry] = Record.load().of("a")
    assert damage(entry) == ""
    assert (entry.origin, entry.licence, entry.size) == ("fitted to clips", STORED.licence, 1400)


def test_files_without_a_record_stay_without_one(record: Record, tmp_path: Path) -> None:
    for path in (stored("other.safetensors"), tmp_path / STORED.file):
        path.write_bytes(b"x")
        renew(path, "fitted")
    assert Record.load().files == record.files
