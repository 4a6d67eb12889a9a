from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from base_examples import scene
from call_examples import ColourEngine, make_basis, outgoing_half, picture, write_clip

from sender.call import SenderSettings
from sender.call_recording import limited, play, record_call
from sender.capture import Capture, Frame, SourceError
from sender.encoder import CallEncoder, EncoderSettings
from sender.profiles import BasePoint
from sender.refresh import EveryN, First, FirstSource
from shared.call.call_file import CallFileError, CallWriter, read_call
from shared.codec import control
from shared.codec.bundle import Bundle, decode_bundle
from shared.models.engine import Picture
from shared.transport.link import Channel


class Frames(Capture):
    """Pictures at 25 a second."""

    kind = "file"
    fps = 25.0

    def __init__(self, pictures: list[Picture]) -> None:
        self._pictures = pictures

    def __iter__(self):  # type: ignore[no-untyped-def]
        frames: list[Frame] = [(n / 25, p) for n, p in enumerate(self._pictures)]
        return iter(frames)

    def close(self) -> None:
        pass


def played(half: CallEncoder, pictures: list[Picture]) -> list[tuple[float, Channel, bytes]]:
    return [(t, channel, data) for t, out in play(half, Frames(pictures), None) for channel, data in out]


def bundles(messages: list[tuple[float, Channel, bytes]]) -> list[Bundle]:
    return [decode_bundle(data, make_basis()) for _, channel, data in messages if channel is Channel.MOTION]


def test_the_source_comes_first_and_no_frame_is_lost() -> None:
    half = outgoing_half()
    messages = played(half, [picture(n) for n in range(33)])
    first_motion = [channel for _, channel, _ in messages].index(Channel.MOTION)
    assert Channel.PICTURES not in [channel for _, channel, _ in messages[first_motion:]]
    yaws = [float(m.rotation[0]) for b in bundles(messages) for m in b.frames if m is not None]
    assert yaws == list(range(33))
    assert [t for t, _, _ in messages] == sorted(t for t, _, _ in messages)
    assert control.unpack_control(messages[-1][2]) == control.Bye("the end")


def test_the_first_source_is_chosen_and_no_frame_is_lost() -> None:
    half = outgoing_half(first=FirstSource())
    messages = played(half, [picture(yaw) for yaw in (40, 30, 20, 10, 0, 0, 0, 5, 10)])
    assert [float(m.rotation[0]) for b in bundles(messages) for m in b.frames if m is not None] == [
        40, 30, 20, 10, 0, 0, 0, 5, 10,
    ]  # fmt: skip
    assert [float(s.motion.rotation[0]) for s in half.gallery.sources] == [0]
    assert [t for t, _, _ in messages] == sorted(t for t, _, _ in messages)


def test_a_clip_too_short_to_choose_from_is_recorded_whole() -> None:
    half = outgoing_half(first=FirstSource())
    messages = played(half, [picture(yaw) for yaw in (40, 30, 20)])
    assert [float(m.rotation[0]) for b in bundles(messages) for m in b.frames if m is not None] == [40, 30, 20]


def test_a_base_layer_goes_into_a_file_whose_keys_are_held_at_once() -> None:
    settings = EncoderSettings(25.0, 5, 64, "max", "none", base=BasePoint(64, 12.5, 60, 4.5))
    half = CallEncoder(settings, ColourEngine(), make_basis(), First())
    half.accept_base(True)
    made = bundles(played(half, scene(64, 75)))
    assert sum(len(each.base) for each in made) > 20
    assert half.base_counts.keys == 1
    assert sum(len(each.frames) for each in made) == 75


def test_freq_15_sends_a_source_every_15_frames() -> None:
    half = outgoing_half(EveryN(15))
    messages = played(half, [picture(n % 40) for n in range(75)])
    ids = [int.from_bytes(data[:2], "big") for _, channel, data in messages if channel is Channel.PICTURES]
    assert len(set(ids)) == half.counts.sources_sent == 6
    epochs = [b.epoch for b in bundles(messages) for _ in b.frames]
    starts = [n for n, (a, b) in enumerate(itertools.pairwise(epochs), 1) if a != b]
    assert all(abs((b - a) - 15) <= 2 for a, b in itertools.pairwise(starts))


def test_limited_ends_at_its_time() -> None:
    frames = Frames([picture(0)] * 50)
    assert len(list(limited(frames, 1.0))) == 25
    assert len(list(limited(frames, None))) == 50


def test_a_recorded_file_holds_hello_and_messages(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "c.pinhole"
    figures = record_call(SenderSettings(None, str(clip), framing="none", seconds=0.5, device="cpu", out=out))
    hello, messages = read_call(out)
    data = list(messages)
    assert (hello.engine, hello.source_kind, hello.fps) == ("compact", "file", 25)
    assert sum(len(m.data) for m in data) == figures["payload_bytes"]
    assert figures["frames_sent"] == 13  # those before 0.5 s
    assert figures["sources_sent"] == 1
    assert np.all(np.diff([m.time for m in data]) >= 0)


def test_without_a_face_nothing_is_written_and_what_was_there_stays(tmp_path: Path) -> None:
    wall, out = write_clip(tmp_path / "wall.mp4", [np.full((240, 320, 3), 90, np.uint8)] * 10), tmp_path / "c.pinhole"
    out.write_bytes(b"of before")
    with pytest.raises(SourceError, match=r"no face was seen in '.*wall.mp4' in 0.4 s"):
        record_call(SenderSettings(None, str(wall), device="cpu", out=out))
    assert out.read_bytes() == b"of before"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["c.pinhole", "wall.mp4"]


def test_a_full_disk_keeps_what_was_there(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(CallWriter, "_append", full)
    with pytest.raises(CallFileError, match="No space left on device"):
        record_call(SenderSettings(None, str(clip), framing="none", device="cpu", out=tmp_path / "c.pinhole"))
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_had_is_named(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(CallFileError, match="create it first"):
        record_call(SenderSettings(None, str(clip), framing="none", out=tmp_path / "missing" / "c.pinhole"))
