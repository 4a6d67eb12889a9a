"""A call into a file instead of over a link: the same half, with a receiver that takes every source at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import nullcontext

from sender.analysis import Analysis
from sender.call import SenderSettings, prepare_sending
from sender.capture import Capture, SourceError
from sender.encoder import CallEncoder
from sender.hints import WITHOUT_FACE, no_face
from sender.microphone import Sound
from sender.source_scheduler import Job
from shared.call.call_file import CallFileError, CallWriter
from shared.call.loop import TICK_SECONDS, Outgoing
from shared.call.report import StatusLine, write_report
from shared.models.engine import Picture
from shared.transport.link import Channel
from shared.transport.metering import ComputedWire


def record_call(settings: SenderSettings) -> dict[str, int]:
    """Writes the call to `settings.out`, a file faster than its clock where the machine can.

    Frames, sources and payload bytes come back. Raises CallFileError, SourceError if no face is seen, and what
    `prepare_sending` raises; then there is no file, or the one of before.
    Interrupted, it keeps what can be drawn.
    """
    assert settings.out is not None
    prepared = prepare_sending(settings)
    half, capture = prepared.half, prepared.capture
    status, size, stamp = StatusLine(), 0, 0.0
    half.accept_base(True)
    with capture, prepared.sound or nullcontext(), CallWriter(settings.out, prepared.hello) as file:
        try:
            for stamp, messages in play(half, capture, settings.seconds, prepared.sound):
                for channel, data in messages:
                    keep(file, stamp, channel, data)
                    size += len(data)
                status.show(f"recorded {stamp:.1f} s, {size} bytes", time.monotonic())
        except KeyboardInterrupt:
            if not half.counts.sources_sent:
                file.discard()  # nothing of it could be drawn
            raise
        if not half.counts.sources_sent:
            raise SourceError(f"{no_face(settings.source)} in {stamp:.1f} s, so nothing was written: {WITHOUT_FACE}")
    status.say(
        f"wrote {settings.out}: {half.counts.frames_sent} frames, {half.counts.sources_sent} sources, {size} bytes"
    )
    counts = half.counts
    figures = {"frames_sent": counts.frames_sent, "sources_sent": counts.sources_sent, "payload_bytes": size}
    if settings.report is not None:
        more = {"source": settings.source, "source_kind": capture.source_kind, "duration_s": round(stamp, 3)}
        write_report(settings.report, more | figures | {"frames_without_face": counts.no_face})
    return figures


def keep(file: CallWriter, stamp: float, channel: Channel, data: bytes) -> None:
    """Appends a message. Raises CallFileError if the disk refuses it."""
    try:
        file.write(stamp, channel, data)
    except OSError as error:
        raise CallFileError(
            f"'{file.path}' cannot be written ({error.strerror}); is the disk full? Nothing was kept."
        ) from error


def play(
    half: CallEncoder, capture: Capture, seconds: float | None, sound: Sound | None = None
) -> Iterator[tuple[float, list[Outgoing]]]:
    """(time, messages) of a call without a link. From the first face on, the clip waits for its first source."""
    flying: list[int] = []
    kept: list[tuple[float, Analysis | None]] = []
    wire = ComputedWire()
    offset = now = 0.0

    def do(job: Job | None) -> None:
        sent = None if job is None else half.done(job.perform(), now)
        if sent is not None:
            flying.append(sent.source_id)

    def hear(stamp: float) -> None:
        if sound is not None:
            half.add_sound(sound.take(stamp, offset))

    def step() -> tuple[float, list[Outgoing]]:
        spent = wire.total(now)
        half.spent(spent.sent.size, spent.received.size, now)
        out = half.tick(now, 0)
        wire.send([(channel, len(data)) for channel, data in out], now)
        while flying and not half.pictures_waiting:
            half.assume_held(flying.pop(0))
        half.assume_base_held()
        return now, out

    def opening() -> Iterator[tuple[float, list[Outgoing]]]:
        """The first source, then the frames that were kept."""
        nonlocal offset, now
        now = offset + kept[0][0]
        while flying:
            yield step()
            now += TICK_SECONDS
        offset = now - kept[0][0]
        for stamp, analysis in kept:
            now = offset + stamp
            hear(stamp)
            do(half.push(analysis, now, now))
            yield step()
        kept.clear()

    for stamp, picture in limited(capture, seconds):
        now = offset + stamp
        analysis = half.analyse(picture)
        if half.gallery.sources or not (kept or analysis is not None):
            hear(stamp)
        do(half.push(analysis, now, now, picture))
        if not half.gallery.sources and (kept or analysis is not None):
            kept.append((stamp, analysis))
            if flying:
                yield from opening()
        else:
            yield step()
    do(half.push_no_more(now))
    if kept:
        yield from opening()
    yield now, half.finish("the end", now)


def limited(capture: Capture, seconds: float | None) -> Iterator[tuple[float, Picture]]:
    """The frames of a capture up to a time."""
    for stamp, picture in capture:
        if seconds is not None and stamp >= seconds:
            return
        yield stamp, picture
