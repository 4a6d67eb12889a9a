"""A call into a file instead of over a link: the same half, with a receiver that takes every source at once."""

from __future__ import annotations

import time
from collections.abc import Iterator

from sender.call import SenderSettings, prepare
from sender.capture import Capture
from sender.outgoing import OutgoingHalf, SourceJob
from shared.callfile import CallWriter
from shared.models.engine import Picture
from shared.session.call import TICK_SECONDS, Outgoing
from shared.session.status import StatusLine


def record_call(settings: SenderSettings) -> dict[str, int]:
    """Writes the call to `settings.out`, a file faster than its clock where the machine can.

    Frames, sources and payload bytes come back. Raises CallFileError and what `prepare` raises.
    """
    assert settings.out is not None
    capture, half, hello = prepare(settings)
    status, size = StatusLine(), 0
    with capture, CallWriter(settings.out, hello) as file:
        for stamp, messages in play(half, capture, settings.seconds):
            for channel, data in messages:
                file.write(stamp, channel, data)
                size += len(data)
            status.show(f"recorded {stamp:.1f} s, {size} bytes", time.monotonic())
    status.say(
        f"wrote {settings.out}: {half.counts.frames_sent} frames, {half.counts.sources_sent} sources, {size} bytes"
    )
    return {"frames_sent": half.counts.frames_sent, "sources_sent": half.counts.sources_sent, "payload_bytes": size}


def play(half: OutgoingHalf, capture: Capture, seconds: float | None) -> Iterator[tuple[float, list[Outgoing]]]:
    """(time, messages) of a call without a link. The first source goes out before the clip begins to play."""
    flying: list[int] = []
    offset = now = 0.0

    def start(job: SourceJob | None) -> None:
        if job is not None:
            half.send_source(job, half.encode(job))
            flying.append(job.source_id)

    def step() -> list[Outgoing]:
        out = half.tick(now, 0)
        while flying and not half.pictures_waiting:
            half.assume_held(flying.pop(0))
        return out

    for stamp, picture in limited(capture, seconds):
        now = offset + stamp
        analysis = half.analyse(picture)
        if analysis is not None and not half.gallery.sources:
            start(half.push(analysis, now, now))
            while flying:
                yield now, step()
                offset += TICK_SECONDS
                now = offset + stamp
        start(half.push(analysis, now, now))
        yield now, step()
    yield now, half.finish("the end", now)


def limited(capture: Capture, seconds: float | None) -> Iterator[tuple[float, Picture]]:
    """The frames of a capture up to a time."""
    for stamp, picture in capture:
        if seconds is not None and stamp >= seconds:
            return
        yield stamp, picture
