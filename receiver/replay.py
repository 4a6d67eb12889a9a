"""Drawing a recorded call: the same half as in a live one, on the recording's own clock or by its marks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from itertools import chain
from pathlib import Path

from receiver.decoder import CallDecoder
from receiver.output.recorded_audio import RecordedSound, WavFile, film_rate, keep_sound
from receiver.output.recorder import Recorder
from receiver.output.window import face_changed, origin
from receiver.playout import DueFrame
from receiver.settings import ReceiverContext, ReceiverSettings
from receiver.synthesis import Mixed
from shared.call.call_file import Entry, FiledFrame, FiledMessage, Resumed, Taken, read_call
from shared.call.report import StatusLine, write_report
from shared.codec import MalformedMessage
from shared.codec.picture import PictureMessage
from shared.models.engine import EngineError, Picture
from shared.models.registry import ENGINES, wire_hash
from shared.signalling.hello import SOUND, Incompatible
from shared.transport.resuming import Change

_LONGEST_GAP_SECONDS = 30.0
"""That a hole in a recording is drawn as at most."""
_PLAYS_OUT_SECONDS = 2.0
"""After the last message: longer than any frame waits."""


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
    context, status = ReceiverContext.open(settings), StatusLine()
    half, out = context.half(hello.fps), settings.out or Path("replay.mp4")
    with_sound = settings.audio and bool(hello.capabilities.get(SOUND))
    rate = film_rate(hello.fps)
    recorder = Recorder(out, rate, context.engine.size, with_sound, origin(hello.source_kind))
    longest_gap = round(_LONGEST_GAP_SECONDS * rate)
    sound, last = RecordedSound(rate, longest_gap), -1
    wav = WavFile(settings.out_audio) if with_sound and settings.out_audio is not None else None
    if with_sound:
        half.audio_listeners.append(sound.push)
    with recorder, wav or nullcontext():
        for frame, picture in pictures(half, entries):
            place, heard = sound.step(round(frame.number * rate / hello.fps), frame.capture)
            repeats = min(place - last, longest_gap)
            keep_sound(heard, recorder, wav)
            if last < 0:
                recorder.begin_at((place + 1 - repeats) / rate)
            for _ in range(repeats):
                recorder.write(picture)
            last = place
            status.show(f"drew {frame.number + 1} frames", time.monotonic())
        keep_sound(sound.finish(), recorder, wav)
        if not half.counts.frames_shown:
            raise EngineError(f"{settings.play} holds no frame that can be drawn: no face was seen in that call")
    status.say(f"wrote {out}: {half.counts.frames_shown} frames from {half.counts.sources_received} sources")
    if half.face_changed is not None:
        status.say(face_changed(half.face_changed))
    if settings.out_audio is not None and not with_sound:
        status.say(f"the call has no sound: {settings.out_audio} is not written")
    figures = {"frames_shown": half.counts.frames_shown, "sources_received": half.counts.sources_received}
    if half.base is not None:
        figures |= {"frames_with_base": half.base.counts.frames}
    if settings.report is not None:
        more = {"source_kind": hello.source_kind, "fps": hello.fps}
        write_report(settings.report, more | figures | vars(half.counts))
    return figures


def pictures(half: CallDecoder, entries: Iterator[Entry]) -> Iterator[tuple[DueFrame, Picture]]:
    """Each frame of a recorded call with its picture; a frame without a face repeats the picture before.

    Of a recording with marks these are the frames that were drawn, from the same sources; of one without, all.
    """
    last: Picture | None = None
    first = next(entries, None)
    if first is None:
        return
    every = chain([first], entries)
    marked = isinstance(first, FiledFrame)
    for frame, sources, now in _as_shown(half, every) if marked else _by_the_clock(half, every):
        if sources:
            last = half.draw(frame, sources)
            half.shown(frame, now)
        if last is not None:
            yield frame, last


Due = tuple[DueFrame, Mixed, float]
"""A frame, its sources, and when it is shown."""


def _as_shown(half: CallDecoder, entries: Iterator[Entry]) -> Iterator[Due]:
    """What the marks say was drawn."""
    waiting: list[PictureMessage] = []
    for entry in entries:
        match entry:
            case FiledMessage(time, channel, data):
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
            case FiledFrame(time, most, numbers):
                half.draw_from(most)
                for number in numbers:
                    item = half.due_again(number)
                    if item is not None:
                        yield *item, time


def _by_the_clock(half: CallDecoder, entries: Iterator[Entry]) -> Iterator[Due]:
    """What a quick machine would draw that gets the messages at their times."""
    now = 0.0
    for message in entries:
        if not isinstance(message, FiledMessage):
            continue
        yield from half.each_due(now, message.time)
        now = max(now, message.time)
        half.receive(message.channel, message.data, now)
        while (job := half.next_job()) is not None:
            _prepare(half, job)
    yield from half.each_due(now, now + _PLAYS_OUT_SECONDS)


def _prepare(half: CallDecoder, job: PictureMessage) -> None:
    try:
        half.add_source(half.prepare(job))
    except MalformedMessage as error:
        half.refuse(job, error)
