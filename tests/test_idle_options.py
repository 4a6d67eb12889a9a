"""Options that would do nothing are refused, and those that look as if they might are done."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from receiver import __main__ as receiver_main
from receiver.replay import replay_call
from sender import __main__ as sender_main
from sender.call_recording import record_call
from shared.call.exit_status import USAGE

FILE = "--source x.mp4 --out o.pinhole"
CALL = "--peer http://h/join/t"
PLAY = "--play c.pinhole"


@pytest.mark.parametrize(
    ("name", "mode", "options"),
    [
        (
            "sender", FILE,
            ["--seconds -3", "--seconds 0", "--seconds nan", "--seconds inf", "--seconds soon", "--stun s:1",
             "--turn turn:u:p@h", "--ca c", "--wait", "--state s", "--who ben", "--no-identity", "--config c",
             "--microphone", "--no-audio --mute", "--no-echo-cancellation", "--window", "--page",
             "--generator compact"],
        ),
        (
            "sender", "--preview",
            ["--report r", "--engine vox256", "--device cpu", "--no-audio", "--freq 3", "--budget 9", "--profile thin",
             "--picture-size 64", "--picture-quality 9", "--bundle 2", "--framing none", "--microphone", "--audio w",
             "--mute", "--no-echo-cancellation", "--wait", "--state s", "--who ben", "--no-identity", "--config c",
             "--record r.pinhole"],
        ),
        (
            "sender", CALL,
            ["--ca c", "--no-audio --mute", "--no-identity --config c", "--receive --page-host 0.0.0.0",
             "--receive --no-audio --speaker", "--receive --no-audio --out-audio w.wav",
             "--receive --upscaler-weights f", "--budget nan", "--pose-threshold nan", "--no-echo-cancellation",
             "--receive --no-echo-cancellation --source x.mp4", "--receive --no-echo-cancellation --no-audio",
             "--receive --no-echo-cancellation --audio w", "--receive --no-echo-cancellation --page",
             "--no-reactions", "--receive --no-reactions --engine vox256"],
        ),
        (
            "receiver", PLAY,
            ["--window", "--virtual-camera", "--page", "--record r.pinhole", "--speaker", "--keep", "--calls 2",
             "--listen 127.0.0.1:0", "--rendezvous https://h", "--by-hand", "--no-qr", "--certificate c --key k",
             "--stun s:1", "--turn turn:u:p@h", "--ca c", "--wait", "--state s", "--who ben", "--no-identity",
             "--config c", "--engine vox256", "--page-host 0.0.0.0", "--no-audio --out-audio w.wav",
             "--upscaler bicubic --upscaler-weights f", "--enhance-weights f", "--enhance-steps 3",
             "--enhance-sampler dpm", "--enhance facenhance --enhance-steps 0", "--send sample", "--profile thin"],
        ),
        (
            "receiver", "",
            ["--by-hand --listen 127.0.0.1:0", "--by-hand --no-qr", "--by-hand --certificate c --key k", "--ca c",
             "--rendezvous https://h --listen 127.0.0.1:0", "--rendezvous https://h --certificate c --key k",
             "--page-host 0.0.0.0", "--no-audio --speaker", "--no-identity --config c", "--upscaler-weights f",
             "--no-echo-cancellation", "--send camera:0 --no-echo-cancellation",
             "--window --send x.mp4 --no-echo-cancellation", "--no-reactions --engine vox256"],
        ),
    ],
)  # fmt: skip
def test_options_without_effect_are_refused(
    name: str, mode: str, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    parse: Callable[[list[str]], object] = sender_main.parse if name == "sender" else receiver_main.parse
    for option in options:
        with pytest.raises(SystemExit) as ended:
            parse([*mode.split(), *option.split()])
        said = capsys.readouterr().err
        assert ended.value.code == USAGE
        named = [each for each in option.split() if each.startswith("--")] + ["--refresh"] * ("--freq" in option)
        assert any(each in said for each in named), said


def test_what_has_an_effect_is_taken() -> None:
    parse = sender_main.parse
    for mode in (FILE, CALL):
        for option in ("--report r", "--seconds 2.5", "--mute", "--audio w", "--framing none", "--no-audio"):
            parse([*mode.split(), *option.split()])
    parse(["--source", "camera:0", "--out", "o.pinhole", "--microphone"])
    parse(["--peer", "https://h/join/t", "--ca", "c", "--receive", "--page", "--page-host", "0.0.0.0"])
    for option in (
        "--report r",
        "--size 512",
        "--out-audio w.wav",
        "--generator f",
        "--backend torch",
        "--no-audio",
        "--no-reactions",
    ):
        receiver_main.parse([*PLAY.split(), *option.split()])
    for more in ("", "--page --speaker", "--window --source x.mp4 --microphone"):
        parse([*CALL.split(), "--receive", "--no-echo-cancellation", *more.split()])
    receiver_main.parse("--window --send camera:0 --no-echo-cancellation".split())  # noqa: SIM905
    receiver_main.parse("--rendezvous https://h --ca c --page --certificate c --key k".split())  # noqa: SIM905


def test_a_call_into_a_file_and_out_of_it_is_reported(clip: Path, tmp_path: Path) -> None:
    sent, shown, call = tmp_path / "s.json", tmp_path / "r.json", tmp_path / "c.pinhole"
    arguments = ["--source", clip, "--out", call, "--report", sent, "--framing", "none", "--seconds", "0.6"]
    record_call(sender_main.parse(list(map(str, arguments))).sending)
    arguments = ["--play", call, "--out", tmp_path / "o.mp4", "--report", shown]
    replay_call(receiver_main.parse(list(map(str, arguments))).receiving)
    figures = json.loads(sent.read_text())
    assert (figures["source"], figures["source_kind"], figures["sources_sent"]) == (str(clip), "file", 1)
    assert json.loads(shown.read_text())["frames_shown"] == figures["frames_sent"] == 15


def test_a_sound_file_that_is_not_written_is_said(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--source", clip, "--out", tmp_path / "c.pinhole", "--framing", "none", "--seconds", "0.4"]
    record_call(sender_main.parse(list(map(str, arguments))).sending)
    arguments = ["--play", tmp_path / "c.pinhole", "--out", tmp_path / "o.mp4", "--out-audio", tmp_path / "o.wav"]
    replay_call(receiver_main.parse(list(map(str, arguments))).receiving)
    assert "the call has no sound" in capsys.readouterr().err
    assert not (tmp_path / "o.wav").exists()
