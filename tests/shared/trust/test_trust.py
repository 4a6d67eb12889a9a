from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from receiver.__main__ import parse as receiver_settings
from sender import __main__ as sender_main
from sender.__main__ import parse as sender_settings
from shared.files import PrivateFileError, write_private
from shared.trust.identity import FILE_NAME, PEOPLE_FILE, Trust, TrustSettings

MONDAY, TUESDAY = date(2025, 11, 3), date(2025, 11, 4)
KEY, OTHER = bytes([1]) * 32, bytes([2]) * 32


def test_people_are_known_again_by_the_next_program(tmp_path: Path) -> None:
    settings = TrustSettings(tmp_path, who="anna")
    first = Trust(settings)
    first.meet(KEY, MONDAY)
    first.compare(KEY)
    judged = Trust(settings).meet(KEY, TUESDAY)
    assert judged.compared and judged.text == "this is anna, known from 3 November (1 call, words compared)"
    assert Trust(settings).meet(OTHER, TUESDAY).alarm
    assert {(tmp_path / name).stat().st_mode & 0o077 for name in (FILE_NAME, PEOPLE_FILE)} == {0}


def test_two_programs_at_once_both_remember(tmp_path: Path) -> None:
    one, other = Trust(TrustSettings(tmp_path)), Trust(TrustSettings(tmp_path))
    one.meet(KEY, MONDAY)
    other.meet(OTHER, MONDAY)
    assert "known from" in one.meet(OTHER, TUESDAY).text and "known from" in other.meet(KEY, TUESDAY).text


def test_without_an_identity_nothing_is_read_or_written(tmp_path: Path) -> None:
    trust = Trust(TrustSettings(tmp_path, identity=False))
    assert trust.signer is None
    assert not trust.meet(KEY, MONDAY).alarm
    trust.compare(KEY)
    assert list(tmp_path.iterdir()) == []


def test_a_call_with_oneself_is_not_remembered(tmp_path: Path) -> None:
    trust = Trust(TrustSettings(tmp_path, who="me"))
    assert trust.signer is not None
    assert "your own" in trust.meet(trust.signer.public, MONDAY).text
    trust.compare(trust.signer.public)
    assert not (tmp_path / PEOPLE_FILE).exists()


@pytest.mark.parametrize("content", [b"{", b"\xff", b'{"version": 1, "people": [{}]}'])
def test_damaged_people_are_said_before_the_call(tmp_path: Path, content: bytes) -> None:
    write_private(tmp_path / PEOPLE_FILE, content)
    with pytest.raises(PrivateFileError, match=rf"{PEOPLE_FILE} is damaged \(.*: restore it") as error:
        Trust(TrustSettings(tmp_path))
    assert "\n" not in str(error.value)
    assert (tmp_path / PEOPLE_FILE).read_bytes() == content


def test_both_commands_take_the_options(tmp_path: Path) -> None:
    options = ["--who", "anna", "--config", str(tmp_path)]
    expected = TrustSettings(tmp_path, True, "anna")
    assert receiver_settings(options).receiving.trust == expected
    assert sender_settings(["--peer", "by-hand", *options]).sending.trust == expected
    assert receiver_settings(["--no-identity"]).receiving.trust == TrustSettings(identity=False)
    assert receiver_settings([]).receiving.trust == TrustSettings()


@pytest.mark.parametrize(
    "options", [["--who", ""], ["--who", "a\tb"], ["--who", "anna", "--no-identity"], ["--who", "anna", "--calls", "2"]]
)
def test_options_that_do_not_fit_are_refused(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        receiver_settings(options)
    assert "--who" in capsys.readouterr().err


def test_a_damaged_key_ends_the_program_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_private(tmp_path / FILE_NAME, b"no key")
    link = f"http://127.0.0.1:9/join/{'a' * 22}"
    monkeypatch.setattr("sys.argv", ["sender", "--peer", link, "--source", "sample", "--config", str(tmp_path)])
    assert sender_main.main() == 1
    said = capsys.readouterr().err.strip()
    assert said.startswith(f"python -m sender: {tmp_path / FILE_NAME} is damaged") and "\n" not in said
