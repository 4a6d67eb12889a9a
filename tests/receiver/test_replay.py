from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from call_examples import incoming_half, make_basis, make_motion, outgoing_half, picture, psnr, read_clip

from receiver.playout import DueFrame
from receiver.replay import pictures, replay_call
from receiver.settings import ReceiverSettings
from receiver.synthesis import PreparedSource
from sender.call import SenderSettings
from sender.call_recording import record_call
from sender.refresh import EveryN
from shared.call.call_file import CallFileError, CallWriter, FiledMessage
from shared.codec.bundle import Bundle, encode_bundle
from shared.models.engine import EngineError, Picture
from shared.models.registry import wire_hash
from shared.signalling.hello import Hello, Incompatible
from shared.transport.link import Channel

FRAMES = 20
"""Of the sample person."""


def recorded(yaws: list[float | None], every: int = 1000) -> list[FiledMessage]:
    """The messages of a call with the colour engine; None: no face."""
    half, messages = outgoing_half(EveryN(every)), []
    flying: list[int] = []
    for n, yaw in enumerate([yaws[0]] * 20 + yaws):
        now = n / 25
        job = half.push(None if yaw is None else half.analyse(picture(yaw, n // 10)), now, now)
        if job is not None:
            half.done(job.perform(), 0.0)
            flying.append(job.source_id)
        messages += [FiledMessage(now, *out) for out in half.tick(now, 0)]
        while flying and not half.pictures_waiting:
            half.assume_held(flying.pop(0))
    return messages + [FiledMessage(now, *out) for out in half.finish("the end", now)]


def test_every_frame_is_drawn_once_and_in_order() -> None:
    yaws: list[float | None] = [float(n % 80 - 40) for n in range(100)]
    drawn = list(pictures(incoming_half(), iter(recorded(yaws))))
    assert [frame.number for frame, _ in drawn] == list(range(len(drawn)))
    shown = [(float(p[..., 0].mean()) - 128) / 2 for _, p in drawn]
    assert shown[-100:] == yaws


def test_a_frame_without_a_face_repeats_the_picture_before() -> None:
    drawn = list(pictures(incoming_half(), iter(recorded([10.0, 20.0, None, None, 30.0]))))
    assert [float(p[..., 0].mean()) for _, p in drawn[-5:]] == [148, 168, 168, 168, 188]


def test_a_wild_time_in_the_file_does_not_hang() -> None:
    messages = recorded([1.0, 2.0, 3.0])
    late = FiledMessage(4e6, Channel.MOTION, encode_bundle(Bundle(60, 5, 1, 40.0, (make_motion(),)), make_basis()))
    half, looks = incoming_half(), 0
    due = half.due

    def counted(now: float) -> tuple[DueFrame, PreparedSource | None] | None:
        nonlocal looks
        looks += 1
        assert looks < 10_000
        return due(now)

    half.due = counted  # type: ignore[method-assign]
    assert len(list(pictures(half, iter([*messages, late])))) >= 3


def test_garbage_in_the_file_is_counted() -> None:
    half = incoming_half()
    messages = [FiledMessage(0.0, Channel.MOTION, b"garbage"), *recorded([1.0, 2.0])]
    assert list(pictures(half, iter(messages)))
    assert half.counts.malformed == 1


def test_offline_call_from_clip_to_clip(clip: Path, person: list[Picture], tmp_path: Path) -> None:
    call, out = tmp_path / "c.pinhole", tmp_path / "o.mp4"
    record_call(SenderSettings(None, str(clip), framing="none", device="cpu", out=call, seconds=FRAMES / 25))
    figures = replay_call(ReceiverSettings(play=call, out=out, device="cpu"))
    frames, fps = read_clip(out)
    assert fps == 25
    assert len(frames) == figures["frames_shown"] == FRAMES
    assert psnr(frames[0], person[0]) > 24
    assert max(np.abs(frame.astype(int) - frames[0]).mean() for frame in frames) > 1


def hello(engine_hash: str) -> Hello:
    return Hello("compact", engine_hash, "sender", "file", 25, 28, 256)


def test_a_call_of_other_weights_is_refused(tmp_path: Path) -> None:
    with CallWriter(tmp_path / "c.pinhole", hello("0123456789abcdef")):
        pass
    with pytest.raises(Incompatible, match="recorded with other weights: record it again"):
        replay_call(ReceiverSettings(play=tmp_path / "c.pinhole", out=tmp_path / "o.mp4"))


def test_a_call_without_a_frame_is_refused(tmp_path: Path) -> None:
    with CallWriter(tmp_path / "c.pinhole", hello(wire_hash("compact"))):
        pass
    with pytest.raises(EngineError, match="no frame that can be drawn"):
        replay_call(ReceiverSettings(play=tmp_path / "c.pinhole", out=tmp_path / "o.mp4", device="cpu"))
    assert not (tmp_path / "o.mp4").exists()


def test_a_file_that_is_no_call_is_refused(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(CallFileError, match="not a Pinhole call"):
        replay_call(ReceiverSettings(play=clip, out=tmp_path / "o.mp4"))
