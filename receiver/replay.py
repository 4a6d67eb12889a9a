"""Drawing a recorded call: the same half as in a live one, on the recording's own clock or by its marks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from itertools import chain
from pathlib import Path

from receiver.call import ReceiverSettings, Studio
from receiver.incoming import IncomingHalf, Mixed
from receiver.marks import face_changed, origin
from receiver.playout import Frame
from receiver.record import Recorder
from receiver.recorded_sound import RecordedSound, WavFile, keep_sound
from shared.callfile import Entry, Message, Resumed, Shown, Taken, read_call
from shared.codec.errors import MalformedMessage
from shared.codec.picture import Picture as PictureMessage
from shared.link.resuming import Change
from shared.models.engine import EngineError, Picture
from shared.models.registry import ENGINES, wire_hash
from shared.session.call import TICK_SECONDS
from shared.session.hello import SOUND, Incompatible
from shared.session.status import StatusLine

_LONGEST_GAP = 250
"""Frames that a hole in a recording is drawn as at most."""


def replay_call(settings: ReceiverSettings) -> dict[str, int]:
    """Draws `settings.play` into `settings.out`, as fast as the machine can; frames and sources drawn come back.

    The engine is the recording's, its generator and size are free. Raises CallFileError, EngineError, RecordError and
    Incompatible.
    """
    assert settings.play is not None
    hello, entries = read_call(settings.play)
    if hello.engine not in ENGINES:
        raise Incompatible(f"{settings.play} was recorded with engine {hello.engine!r}, which this version has not")
    settings = replace(settings, engine=hello.engine)
    if hello.engine_hash != wire_hash(settings.engine):
        raise Incompatible(f"{settings.play} was recorded with other weights: record it again with this version")
    studio, status = Studio.open(settings), StatusLine()
    half, out = studio.half(hello.fps), settings.out or Path("replay.mp4")
    with_sound = settings.audio and bool(hello.capabilities.get(SOUND))
    recorder = Recorder(out, hello.fps, studio.engine.size, with_sound, origin(hello.source_kind))
    sound = RecordedSound(hello.fps, _LONGEST_GAP)
    wav = WavFile(settings.out_audio) if with_sound and settings.out_audio is not None else None
    if with_sound:
        half.ears.append(sound.push)
    last = -1
    with recorder, wav or nullcontext():
        for frame, picture in pictures(half, entries):
            number, heard = sound.step(frame.number, frame.capture) if with_sound else (frame.number, None)
            repeats = min(max(number - last, 1), _LONGEST_GAP)
            if heard is not None:
                keep_sound(heard, recorder, wav)
                recorder.begin_at((number + 1 - repeats) / hello.fps)
            for _ in range(repeats):
                recorder.write(picture)
            last = number
            status.show(f"drew {frame.number + 1} frames", time.monotonic())
        keep_sound(sound.finish(), recorder, wav)
    status.say(f"wrote {out}: {half.counts.frames_shown} frames from {half.counts.sources_received} sources")
    if half.face_changed is not None:
        status.say(face_changed(half.face_changed))
    if not half.counts.frames_shown:
        raise EngineError(f"{settings.play} holds no frame that can be drawn")
    figures = {"frames_shown": half.counts.frames_shown, "sources_received": half.counts.sources_received}
    return figures if half.base is None else figures | {"frames_with_base": half.base.counts.frames}


def pictures(half: IncomingHalf, entries: Iterator[Entry]) -> Iterator[tuple[Frame, Picture]]:
    """Each frame of a recorded call with its picture; a frame without a face repeats the picture before.

    Of a recording with marks these are the frames that were drawn, from the same sources; of one without, all.
    """
    last: Picture | None = None
    first = next(entries, None)
    if first is None:
        return
    every = chain([first], entries)
    marked = isinstance(first, Shown)
    for frame, sources, now in _as_shown(half, every) if marked else _by_the_clock(half, every):
        if sources:
            last = half.draw(frame, sources)
            half.shown(frame, now)
        if last is not None:
            yield frame, last


Due = tuple[Frame, Mixed, float]
"""A frame, its sources, and when it is shown."""


def _as_shown(half: IncomingHalf, entries: Iterator[Entry]) -> Iterator[Due]:
    """What the marks say was drawn."""
    waiting: list[PictureMessage] = []
    for entry in entries:
        match entry:
            case Message(time, channel, data):
                half.receive(channel, data, time)
                while (job := half.next_job()) is not None:
                    waiting.append(job)
            case Taken(_, source_id):
                while waiting and waiting[0].source_id != source_id:
                    del waiting[0]  # it could not be decoded, or too many waited
                if waiting:
                    _prepare(half, waiting.pop(0))
            case Resumed(time, replaced, skip):
                half.link_changed(Change.REPLACED if replaced else Change.RENEWED, time, skip)
                if replaced:
                    waiting.clear()
            case Shown(time, most, numbers):
                half.draw_from(most)
                for number in numbers:
                    item = half.due_again(number)
                    if item is not None:
                        yield *item, time


def _by_the_clock(half: IncomingHalf, entries: Iterator[Entry]) -> Iterator[Due]:
    """What a quick machine would draw that gets the messages at their times."""
    now = 0.0

    def due() -> Iterator[Due]:
        while (item := half.due(now)) is not None:
            yield *item, now

    for message in entries:
        if not isinstance(message, Message):
            continue
        while now < message.time:  # small steps: a frame is shown at its time, or a newer one would take its place
            following = half.playout.next_time()
            now = min(max(now + TICK_SECONDS, message.time if following is None else following), message.time)
            yield from due()
        half.receive(message.channel, message.data, now)
        while (job := half.next_job()) is not None:
            _prepare(half, job)
    for _ in range(round(2 / TICK_SECONDS)):
        now += TICK_SECONDS
        yield from due()


def _prepare(half: IncomingHalf, job: PictureMessage) -> None:
    try:
        half.add_source(half.prepare(job))
    except MalformedMessage as error:
        half.refuse(job, error)
