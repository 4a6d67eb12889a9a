"""A two-way call with sound between two processes, as two people make it."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from call_examples import CLIP_FRAMES, Program, psnr, read_clip, write_clip
from speech_examples import onsets, speech, write_wav

from shared.models.engine import Picture
from shared.session.hello import Hello


def film_sound(path: Path) -> np.ndarray:
    with av.open(str(path)) as film:
        return np.concatenate([frame.to_ndarray().reshape(-1) for frame in film.decode(audio=0)])


def test_both_see_and_hear_each_other(clip: Path, person: list[Picture], tmp_path: Path) -> None:
    mirrored = write_clip(tmp_path / "mirrored.mp4", [np.ascontiguousarray(each[:, ::-1]) for each in person])
    voice = write_wav(tmp_path / "voice.wav", speech(CLIP_FRAMES / 25, pauses=False))
    films = {name: tmp_path / f"{name}.mp4" for name in ("caller", "called")}
    reports = {name: tmp_path / f"{name}.json" for name in films}
    common = ("--framing", "none", "--audio", voice)
    with Program(
        "receiver", "--listen", "127.0.0.1:0", "--send", mirrored, "--out", films["called"],
        "--report", reports["called"], *common,
    ) as called:  # fmt: skip
        arguments = (
            "--peer", called.join_url(), "--source", clip, "--receive", "--out", films["caller"],
            "--report", reports["caller"], *common,
        )  # fmt: skip
        with Program("sender", *arguments) as caller:
            for code, said in (caller.end(), called.end()):
                assert (code, "Traceback" in said) == (0, False), said

    shown = {name: read_clip(film)[0][0] for name, film in films.items()}
    assert psnr(shown["called"], person[0]) > 18 > psnr(shown["called"], person[0][:, ::-1])
    assert psnr(shown["caller"], person[0][:, ::-1]) > 18 > psnr(shown["caller"], person[0])
    assert all(onsets(film_sound(film)) for film in films.values())

    at_caller, at_called = (json.loads(reports[name].read_text()) for name in ("caller", "called"))
    assert at_caller["received"]["frames_shown"] > 0 and at_called["frames_shown"] > 0
    assert at_called["sent"]["frames_sent"] > 0 and at_caller["frames_sent"] > CLIP_FRAMES / 2
    assert at_caller["received"]["sound_packets"] > 0 and at_called["sound_packets"] > 0
    assert at_caller["malformed"] == at_called["malformed"] == at_caller["received"]["malformed"] == 0


@pytest.mark.parametrize("asks", ["caller", "called"])
def test_where_only_one_wants_both_ways_the_call_is_one_way_and_both_are_told(
    clip: Path, tmp_path: Path, asks: str
) -> None:
    send = ("--send", clip) if asks == "called" else ()
    receive = ("--receive", "--out", tmp_path / "nothing.mp4") if asks == "caller" else ()
    with Program("receiver", "--listen", "127.0.0.1:0", *send) as called:
        with Program("sender", "--peer", called.join_url(), "--source", clip, "--seconds", "0.4", *receive) as caller:
            code, said_caller = caller.end()
            assert code == 0
        code, said_called = called.end()
        assert code == 0
    if asks == "caller":
        assert "the other side sends no picture" in said_caller
    else:
        assert "the caller receives no picture" in said_called


def test_a_hello_for_both_ways_is_understood() -> None:
    hello = Hello("compact", "0123456789abcdef", "both", "camera", 25.0, 21, 256, {"sound": True})
    assert Hello.from_dict(hello.to_dict()) == hello
