"""A call kept as it came is drawn again as it was shown, however late frames and sources then were."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from call_examples import ColourEngine, incoming_half, make_basis, outgoing_half, picture

from receiver import replay
from receiver.decoder import CallDecoder
from receiver.output.byte_log import CallRecording
from receiver.output.recorder import RecordError
from receiver.replay import pictures, replay_call
from receiver.settings import ReceiverContext, ReceiverSettings
from receiver.upscale import Bicubic
from sender.call import SenderSettings
from sender.call_recording import record_call
from sender.refresh import EveryN
from shared.call.call_file import CallFileError, FiledFrame, FiledMessage, Taken, read_call
from shared.codec.picture import PictureMessage
from shared.models.engine import Engine, Picture
from shared.models.registry import load_basis
from shared.signalling.hello import Hello
from shared.transport.link import Channel

FRAMES = 20
"""Of the sample person."""
HELLO = Hello("compact", "0123456789abcdef", "sender", "camera", 25, 4, 64)


def received(half: CallDecoder, messages: Iterator[FiledMessage], end: float) -> list[tuple[int, Picture]]:
    """The frames that a slow machine shows: sources take 0.3 s, ticks are uneven, and now and then it draws from one
    source only."""
    chance = np.random.default_rng(5)
    waiting: list[tuple[float, PictureMessage]] = []
    coming, drawn, now = list(messages), [], 0.0
    while now < end:
        now += float(chance.uniform(0.005, 0.09))
        while coming and coming[0].time <= now:
            half.receive(coming[0].channel, coming.pop(0).data, 1000.0 + now)
        while (job := half.next_job()) is not None:
            waiting.append((now + 0.3, job))
        while waiting and waiting[0][0] <= now:
            half.add_source(half.prepare(waiting.pop(0)[1]))
        item = half.due(1000.0 + now)
        if item is not None and item[1]:
            half.draw_from(int(chance.integers(1, 3)))
            drawn.append((item[0].number, half.draw(*item)))
    return drawn


def call_of_colours() -> list[FiledMessage]:
    """Four seconds in which the sender sends a source a second."""
    half, messages, flying = outgoing_half(EveryN(25)), [], []
    for n in range(100):
        now = n / 25
        job = half.push(half.analyse(picture(50 * np.sin(n / 7), n // 10)), now, now)
        if job is not None and (sent := half.done(job.perform(), now)) is not None:
            flying.append(sent.source_id)
        messages += [FiledMessage(now, *out) for out in half.tick(now, 0)]
        while flying and not half.pictures_waiting:
            half.assume_held(flying.pop(0))
    return messages


def drawn_again(path: Path, half: CallDecoder) -> list[tuple[int, Picture]]:
    return [(frame.number, p) for frame, p in pictures(half, read_call(path)[1])]


def same(a: list[tuple[int, Picture]], b: list[tuple[int, Picture]]) -> bool:
    return [n for n, _ in a] == [n for n, _ in b] and all(
        np.array_equal(p, q) for (_, p), (_, q) in zip(a, b, strict=True)
    )


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Path, list[tuple[int, Picture]]]:
    """A recording, and the frames that were shown."""
    path = tmp_path / "call.pinhole"
    recording = CallRecording(path, HELLO)
    taped = CallDecoder(ColourEngine(), make_basis(), Bicubic(), tape=recording)
    shown = received(taped, iter(call_of_colours()), 5.0)
    recording.close()
    return path, shown


def test_a_late_call_is_drawn_again_as_it_was_shown(kept: tuple[Path, list[tuple[int, Picture]]]) -> None:
    path, shown = kept
    assert 20 < len(shown) < 90  # frames were skipped
    assert len({int(p[0, 0, 1]) for _, p in shown}) > 2  # and sources changed
    assert same(drawn_again(path, incoming_half()), shown)


def test_by_the_clock_it_would_be_other_frames(kept: tuple[Path, list[tuple[int, Picture]]]) -> None:
    path, shown = kept
    messages = [entry for entry in read_call(path)[1] if isinstance(entry, FiledMessage)]
    by_clock = [(frame.number, p) for frame, p in pictures(incoming_half(), iter(messages))]
    assert not same(by_clock, shown)


def test_a_recording_cut_anywhere_plays_up_to_the_cut(kept: tuple[Path, list[tuple[int, Picture]]]) -> None:
    path, shown = kept
    whole = path.read_bytes()
    for length in (len(whole) // 3, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        again = drawn_again(path, incoming_half())
        assert same(again, shown[: len(again)])
        assert len(again) >= len(shown) * length // len(whole) - 12


def test_the_recording_is_whole_at_every_moment(tmp_path: Path) -> None:
    path = tmp_path / "call.pinhole"
    recording = CallRecording(path, HELLO)
    recording.message(Channel.MOTION, b"a", 50.0)
    recording.taken(7)
    for number in (3, 4, 300, 299, 900):
        recording.shown(number, 2)
    recording.shown(901, 1)
    recording.message(Channel.CONTROL, b"b", 50.5)
    assert not path.exists()  # nobody has closed it
    assert list(read_call(tmp_path / "call.part.pinhole")[1]) == [
        FiledFrame(0.0, 1, ()), FiledMessage(0.0, Channel.MOTION, b"a"), Taken(0.0, 7), FiledFrame(0.0, 2, (3, 4)),
        FiledFrame(0.0, 2, (300,)), FiledFrame(0.0, 2, (299,)), FiledFrame(0.0, 2, (900,)), FiledFrame(0.0, 1, (901,)),
        FiledMessage(0.5, Channel.CONTROL, b"b"),
    ]  # fmt: skip
    recording.close()
    recording.close()
    assert [each.name for each in tmp_path.iterdir()] == ["call.pinhole"]


def test_an_hour_is_a_few_megabytes(tmp_path: Path) -> None:
    recording = CallRecording(tmp_path / "call.pinhole", HELLO)
    number = 0
    for n in range(5 * 60):  # a minute as the default profile sends it
        recording.message(Channel.MOTION, bytes(40), n / 5)
        for _ in range(5):
            number += 1
            recording.shown(number, 2)
    recording.message(Channel.PICTURES, bytes(6 * 2300), 60.0)  # and a source every ten seconds
    recording.close()
    assert 1e6 < 60 * (tmp_path / "call.pinhole").stat().st_size < 4e6


def test_a_full_disk_ends_the_recording_and_not_the_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "call.pinhole"
    path.write_bytes(b"of before")
    recording = CallRecording(path, HELLO)
    recording.message(Channel.MOTION, b"kept", 0.0)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recording._file, "_append", full)
    with caplog.at_level(logging.WARNING):
        for n in range(3):
            recording.message(Channel.MOTION, b"lost", 1.0 + n)
            recording.taken(n)
    recording.close()
    assert caplog.text.count("the call goes on") == 1
    assert "No space left" in caplog.text
    assert path.read_bytes() == b"of before"
    assert "call.part.pinhole' has what came before" in caplog.text
    assert [e.data for e in read_call(tmp_path / "call.part.pinhole")[1] if isinstance(e, FiledMessage)] == [b"kept"]


def test_places_that_cannot_be_had_are_refused_before_the_call(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="does not exist"):
        CallRecording.check(tmp_path / "missing" / "c.pinhole")
    with pytest.raises(RecordError, match="create it first"):
        CallRecording(tmp_path / "missing" / "c.pinhole", HELLO)
    CallRecording.check(tmp_path / "c.pinhole")
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def talk(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample person's call, as its sender writes it."""
    path = tmp_path_factory.mktemp("talk") / "talk.pinhole"
    small = {
        "picture_size": 64,
        "picture_quality": 20,
        "seconds": FRAMES / 25,
    }  # or the second would still be under way
    record_call(SenderSettings(None, str(clip), EveryN(8), framing="none", device="cpu", out=path, **small))  # type: ignore[arg-type]
    return path


def fast(engine: Engine, tape: CallRecording | None = None) -> CallDecoder:
    return CallDecoder(engine, load_basis("compact"), Bicubic(), tape=tape)


def test_the_embedded_engine_draws_the_same_pictures_bit_for_bit(talk: Path, engine: Engine, tmp_path: Path) -> None:
    hello, entries = read_call(talk)
    messages = (entry for entry in entries if isinstance(entry, FiledMessage))
    path = tmp_path / "call.pinhole"
    recording = CallRecording(path, hello)
    half = fast(engine, recording)
    shown = received(half, messages, 3.0)
    recording.close()
    assert len(shown) > FRAMES / 4
    assert half.counts.sources_received > 1
    assert same(drawn_again(path, fast(engine)), shown)


def test_play_takes_the_recordings_engine(
    talk: Path, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def context(settings: ReceiverSettings) -> ReceiverContext:
        asked.append(settings.engine)
        return ReceiverContext(engine, load_basis("compact"), Bicubic())

    monkeypatch.setattr(replay.ReceiverContext, "open", context)
    figures = [
        replay_call(ReceiverSettings(play=talk, out=tmp_path / name, engine="vox256")) for name in ("a.mp4", "b.mp4")
    ]
    assert asked == ["compact"] * 2
    assert figures[0]["frames_shown"] >= 0.9 * FRAMES
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def damaged(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(8) + content[middle + 8 :]


@pytest.mark.parametrize(
    ("change", "message"), [(damaged, "is damaged after"), (lambda _: b"RIFF", "not a Pinhole call")]
)
def test_a_file_that_is_not_right_is_refused(
    talk: Path, tmp_path: Path, change: Callable[[bytes], bytes], message: str
) -> None:
    path, out = tmp_path / "c.pinhole", tmp_path / "o.mp4"
    path.write_bytes(change(talk.read_bytes()))
    with pytest.raises(CallFileError, match=message):
        replay_call(ReceiverSettings(play=path, out=out))
    assert not out.exists()
