from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from receiver import __main__ as receiver_main
from sender import __main__ as sender_main
from shared.call import options
from shared.call.exit_status import USAGE
from shared.call.options import free
from shared.files import PlaceError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a film, a call and a sound in it."""
    monkeypatch.chdir(tmp_path)
    for name in ("t.mp4", "t.pinhole", "t.wav", "t.json", "key.pem"):
        Path(name).write_bytes(b"the user's")
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "people.json").write_bytes(b"the user's")
    Path("config/report.json").symlink_to("people.json")
    Path("sub").mkdir()
    Path("link.mp4").symlink_to("t.mp4")
    os.link("t.mp4", "hard.mp4")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("sender", "--source t.pinhole --out t.pinhole"),
        ("sender", "--source t.mp4 --out t.pinhole --audio sub/../t.pinhole"),
        ("sender", "--peer u --receive --source t.mp4 --out t.mp4"),
        ("sender", "--peer u --receive --source t.mp4 --out link.mp4"),
        ("sender", "--peer u --receive --source t.mp4 --out hard.mp4"),
        ("sender", "--peer u --receive --source {here}/t.mp4 --out ./t.mp4"),
        ("sender", "--peer u --source t.mp4 --report t.mp4"),
        ("sender", "--peer u --source t.mp4 --state t.mp4"),
        ("sender", "--peer u --receive --out-audio t.wav --audio t.wav"),
        ("sender", "--peer u --report new.json --state sub/../new.json"),
        ("sender", "--peer u --report config/people.json --config config"),
        ("sender", "--peer u --report config/report.json --config config"),
        ("sender", "--peer https://h/join/t --report key.pem --ca key.pem"),
        ("receiver", "--play t.pinhole --out t.pinhole"),
        ("receiver", "--play t.pinhole --report t.pinhole"),
        ("receiver", "--send t.mp4 --out t.mp4"),
        ("receiver", "--out new.mp4 --report sub/../new.mp4"),
        ("receiver", "--certificate key.pem --key t.json --report key.pem"),
        ("receiver", "--certificate key-1.pem --key t.json --calls 2 --report key.pem"),
        ("receiver", "--generator t.json --state t.json"),
        ("receiver", "--upscaler esrgan --upscaler-weights t.json --report t.json"),
    ],
)
def test_no_file_is_written_that_is_read_too(
    folder: Path, name: str, arguments: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("key-1.pem").write_bytes(b"the user's")
    parse: Callable[[list[str]], object] = sender_main.parse if name == "sender" else receiver_main.parse
    with pytest.raises(SystemExit) as ended:
        parse([*arguments.format(here=folder).split(), "--overwrite"])
    assert ended.value.code == USAGE
    assert "are the same file" in capsys.readouterr().err
    assert all(each.read_bytes() == b"the user's" for each in folder.rglob("*") if each.is_file())


def test_names_that_differ_in_case_are_one_where_the_folder_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--peer", "u", "--report", "New.json", "--state", "new.JSON"]
    sender_main.parse(arguments)
    monkeypatch.setattr(options, "_ignores_case", lambda folder: True)
    with pytest.raises(SystemExit):
        sender_main.parse(arguments)
    assert "are the same file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "arguments", "ending"),
    [
        ("sender", "--source t.mp4 --out o.mp4", "o.pinhole"),
        ("sender", "--source t.mp4 --out o", "o.pinhole"),
        ("sender", "--peer u --receive --out o.webm", "o.mp4"),
        ("sender", "--peer u --receive --record o.mp4", "o.pinhole"),
        ("receiver", "--out o.gif", "o.mp4"),
        ("receiver", "--play t.pinhole --out o.mkv", "o.mp4"),
        ("receiver", "--out-audio o.mp3", "o.wav"),
        ("receiver", "--record o", "o.pinhole"),
    ],
)
def test_a_name_says_what_is_in_the_file(
    folder: Path, name: str, arguments: str, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parse: Callable[[list[str]], object] = sender_main.parse if name == "sender" else receiver_main.parse
    with pytest.raises(SystemExit) as ended:
        parse(arguments.split())
    assert ended.value.code == USAGE
    assert f"name it {ending}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("sender", "--source x.mp4 --out t.pinhole"),
        ("sender", "--peer u --receive --out t.mp4"),
        ("sender", "--peer u --report t.json"),
        ("receiver", "--play x.pinhole --out t.mp4"),
        ("receiver", "--record t.pinhole"),
        ("receiver", "--out-audio t.wav"),
    ],
)
def test_a_file_that_is_there_stays_unless_it_may_be_replaced(folder: Path, name: str, arguments: str) -> None:
    parse: Callable[[list[str]], object] = sender_main.parse if name == "sender" else receiver_main.parse
    with pytest.raises(PlaceError, match=r"'t\..*' is there already: .*--overwrite"):
        parse(arguments.split())
    parse([*arguments.split(), "--overwrite"])


def test_a_replay_without_a_name_keeps_the_one_before(folder: Path) -> None:
    assert receiver_main.parse(["--play", "t.pinhole"]).receiving.out == Path("replay.mp4")
    Path("replay.mp4").write_bytes(b"the user's")
    with pytest.raises(PlaceError, match=r"'replay\.mp4' is there already"):
        receiver_main.parse(["--play", "t.pinhole"])


def test_a_program_that_goes_on_with_a_call_takes_the_next_free_names(folder: Path) -> None:
    Path("state").touch()
    Path("t-2.mp4").touch()
    asked = receiver_main.parse(["--out", "t.mp4", "--report", "t.json", "--state", "state"])
    assert (asked.receiving.out, asked.receiving.report) == (Path("t-3.mp4"), Path("t-2.json"))
    with pytest.raises(PlaceError):
        receiver_main.parse(["--out", "t.mp4", "--state", "none-yet"])


def test_free_names(folder: Path) -> None:
    assert free(Path("new.mp4")) == Path("new.mp4")
    assert free(Path("t.mp4")) == Path("t-2.mp4")


def test_what_is_no_file_is_not_compared(folder: Path) -> None:
    Path("camera:0").touch()
    sender_main.parse(["--peer", "u", "--source", "camera:0", "--report", "camera:0", "--overwrite"])
    receiver_main.parse(["--out", "/dev/null", "--record", "/dev/null", "--report", "/dev/null"])
