"""A two-way call with sound between two processes, as two people make it; and calls that one alone wants both ways."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import NoReturn

import av
import numpy as np
import pytest
from call_examples import CLIP_FRAMES, Program, psnr, read_clip, write_clip
from receiving_examples import Listening
from speech_examples import onsets, speech, write_wav

from receiver.settings import ReceiverContext
from receiver.upscale import Bicubic
from sender.call import SenderSettings, send_call
from shared.models.engine import Engine, Picture
from shared.models.registry import load_basis
from shared.signalling.hello import Hello


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
async def test_where_only_one_wants_both_ways_the_call_is_one_way_and_both_are_told(
    clip: Path, engine: Engine, capsys: pytest.CaptureFixture[str], asks: str
) -> None:
    def never(*_: object) -> NoReturn:
        raise AssertionError("the other way was opened")

    context = ReceiverContext(engine, load_basis("compact"), Bicubic())
    called = Listening(context, capsys, send_back=never if asks == "called" else None)
    settings = SenderSettings(await called.url(), str(clip), framing="none", device="cpu", seconds=0.4)
    async with asyncio.timeout(60):
        sent = await send_call(settings, never if asks == "caller" else None)
        shown = await called.call
    assert (sent["frames_sent"], shown["frames_received"]) == (10, 10)
    assert "received" not in sent and "sent" not in shown
    if asks == "caller":
        assert "the other side sends no picture" in capsys.readouterr().err
    else:
        assert any("the caller receives no picture" in text for text in called.status.texts)


def test_a_hello_for_both_ways_is_understood() -> None:
    hello = Hello("compact", "0123456789abcdef", "both", "camera", 25.0, 21, 256, {"sound": True})
    assert Hello.from_dict(hello.to_dict()) == hello
