"""Drawing a recorded call: the same half as in a live one, on the recording's own clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from receiver.call import ReceiverSettings, Studio
from receiver.incoming import IncomingHalf
from receiver.playout import Frame
from receiver.record import Recorder
from shared.callfile import Message, read_call
from shared.codec.errors import MalformedMessage
from shared.models.engine import EngineError, Picture
from shared.models.registry import wire_hash
from shared.session.call import TICK_SECONDS
from shared.session.hello import Incompatible
from shared.session.status import StatusLine


def replay_call(settings: ReceiverSettings) -> dict[str, int]:
    """Draws `settings.play` into `settings.out`, as fast as the machine can; frames and sources drawn come back.

    Raises CallFileError, EngineError, RecordError and Incompatible.
    """
    assert settings.play is not None
    hello, messages = read_call(settings.play)
    if hello.engine_hash != wire_hash(settings.engine):
        raise Incompatible(f"{settings.play} was recorded with other weights: record it again with this version")
    studio, status = Studio.open(settings), StatusLine()
    half, out = studio.half(hello.fps), settings.out or Path("replay.mp4")
    recorder = Recorder(out, hello.fps, studio.engine.size)
    last = -1
    with recorder:
        for frame, picture in pictures(half, messages):
            for _ in range(min(max(frame.number - last, 1), 250)):
                recorder.write(picture)
            last = frame.number
            status.show(f"drew {frame.number + 1} frames", time.monotonic())
    status.say(f"wrote {out}: {half.counts.frames_shown} frames from {half.counts.sources_received} sources")
    if not half.counts.frames_shown:
        raise EngineError(f"{settings.play} holds no frame that can be drawn")
    return {"frames_shown": half.counts.frames_shown, "sources_received": half.counts.sources_received}


def pictures(half: IncomingHalf, messages: Iterator[Message]) -> Iterator[tuple[Frame, Picture]]:
    """Each frame of a recorded call with its picture; a frame without a face repeats the picture before."""
    last: Picture | None = None

    def drawn(now: float) -> Iterator[tuple[Frame, Picture]]:
        nonlocal last
        while (item := half.due(now)) is not None:
            frame, sources = item
            if sources:
                last = half.draw(frame, sources)
                half.shown(frame, now)
            if last is not None:
                yield frame, last

    now = 0.0
    for message in messages:
        while now < message.time:  # small steps: a frame is shown at its time, or a newer one would take its place
            following = half.playout.next_time()
            now = min(max(now + TICK_SECONDS, message.time if following is None else following), message.time)
            yield from drawn(now)
        half.receive(message.channel, message.data, now)
        while (job := half.next_job()) is not None:
            try:
                half.add_source(half.prepare(job))
            except MalformedMessage as error:
                half.refuse(job, error)
    for _ in range(round(2 / TICK_SECONDS)):
        now += TICK_SECONDS
        yield from drawn(now)
