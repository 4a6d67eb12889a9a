"""What both halves of a call do when the connection below their link is lost and made anew; joined in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest
from call_examples import FPS, SIDE, incoming_half, outgoing_half, picture, source_that_came

from receiver.incoming import IncomingHalf
from sender.outgoing import OutgoingHalf
from sender.profile import LARGEST_BUNDLE
from sender.refresh import EveryN
from sender.source_coder import SourceJob
from shared.codec import control
from shared.link.base import Channel
from shared.link.memory import MemoryLink, memory_pair
from shared.link.resuming import Change, ResumingLink
from shared.session.call import follow, run_call


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


class Call:
    """Two halves over links that can be cut."""

    def __init__(self, outgoing: OutgoingHalf, incoming: IncomingHalf) -> None:
        self.outgoing, self.incoming = outgoing, incoming
        near, far = memory_pair(delay=0.005)
        self.near, self.far = ResumingLink(near), ResumingLink(far)
        self.frames = 0
        self.shown: list[int] = []
        self._ended = asyncio.Event()
        self._tasks: list[asyncio.Task[object]] = []

    def start(self) -> None:
        follow(self.near, self.outgoing)
        follow(self.far, self.incoming)
        self._tasks = [
            asyncio.create_task(run_call(self.near, self.outgoing, self._ended)),
            asyncio.create_task(run_call(self.far, self.incoming, asyncio.Event())),
            asyncio.create_task(self._film()),
            asyncio.create_task(self._draw()),
        ]

    async def stop(self) -> None:
        self._ended.set()
        await asyncio.wait_for(asyncio.gather(*self._tasks[:2]), 60)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def cut(self) -> None:
        """The connection is gone on both sides."""
        for end in (self.near.carrier, self.far.carrier):
            assert isinstance(end, MemoryLink)
            end._end("cut")
        await until(lambda: not self.near.alive and not self.far.alive)

    def mend(self, *, replaced: bool = False) -> None:
        near, far = memory_pair(delay=0.005)
        self.near.renew(near)
        self.far.renew(far, replaced=replaced)

    async def _film(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            yaw = self.frames % 40
            job = self.outgoing.push(self.outgoing.analyse(picture(yaw, 1)), self.frames / FPS, loop.time())
            if job is not None:
                self.outgoing.done(job.perform(), loop.time())
            self.frames += 1
            await asyncio.sleep(0.01)

    async def _draw(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while (job := self.incoming.next_job()) is not None:
                self.incoming.add_source(self.incoming.prepare(job))
            item = self.incoming.due(loop.time() + 1000)
            if item is not None and item[1]:
                self.incoming.shown(item[0], loop.time())
                self.shown.append(item[0].number)
            await asyncio.sleep(0.005)


@asynccontextmanager
async def call(outgoing: OutgoingHalf | None = None) -> AsyncIterator[Call]:
    talk = Call(outgoing or outgoing_half(bundle=2), incoming_half())
    talk.start()
    try:
        yield talk
    finally:
        await talk.stop()


async def test_a_source_that_is_held_is_not_sent_again() -> None:
    async with call() as talk:
        await until(lambda: len(talk.shown) > 10)
        pieces = talk.near.payload().sent[Channel.PICTURES].messages
        assert pieces > 0
        for _ in range(3):
            await talk.cut()
            seen = talk.frames
            await until(lambda seen=seen: talk.frames > seen + 30)  # type: ignore[misc]
            talk.mend()
            shown = len(talk.shown)
            await until(lambda shown=shown: len(talk.shown) > shown + 10)  # type: ignore[misc]
        assert talk.near.payload().sent[Channel.PICTURES].messages == pieces
        assert talk.incoming.counts.sources_received == talk.outgoing.counts.sources_sent == 1
        assert talk.incoming.counts.malformed == talk.outgoing.counts.malformed == 0
        assert talk.shown == sorted(talk.shown)


async def test_nothing_gathers_while_the_connection_is_gone() -> None:
    async with call(outgoing_half(EveryN(5), bundle=2)) as talk:
        await until(lambda: len(talk.shown) > 10)
        await talk.cut()
        sources, seen = talk.outgoing.counts.sources_sent, talk.frames
        await until(lambda: talk.frames > seen + 60)
        assert talk.outgoing.counts.sources_sent <= sources + 1  # one may have been in the making
        assert len(talk.outgoing.motion) <= LARGEST_BUNDLE
        assert not talk.outgoing.pictures_waiting
        talk.mend()
        await until(lambda: talk.outgoing.counts.sources_sent > sources + 2)


def test_an_unfinished_source_goes_again_from_its_beginning() -> None:
    outgoing, incoming = outgoing_half(), incoming_half()
    noise = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), np.uint8)  # of many pieces
    job = outgoing.push(outgoing.analyse(noise), 0.0, 0.0)
    assert isinstance(job, SourceJob)
    outgoing.done(job.perform(), 0.0)
    incoming.receive(*outgoing.tick(0.0, 0)[0], 0.0)
    outgoing.tick(0.3, 0)  # what is under way is lost
    assert outgoing.pictures_waiting
    for half in (outgoing, incoming):
        half.link_changed(Change.LOST, 20.0)
        half.link_changed(Change.RENEWED, 60.0)
    exchange(outgoing, incoming, 60.0)
    assert incoming.counts.sources_received == 1
    assert [held.source_id for held in outgoing.gallery.sources] == [job.source_id]
    assert incoming.counts.malformed == outgoing.counts.malformed == 0


def exchange(outgoing: OutgoingHalf, incoming: IncomingHalf, now: float) -> None:
    """A few seconds of a link without loss."""
    for n in range(100):
        for message in incoming.tick(now + n / 10):
            outgoing.receive(*message, now + n / 10)
        for message in outgoing.tick(now + n / 10, 0):
            incoming.receive(*message, now + n / 10)
        while (job := incoming.next_job()) is not None:
            incoming.add_source(incoming.prepare(job))


async def test_a_receiver_that_was_started_again_gets_a_source() -> None:
    async with call() as talk:
        await until(lambda: len(talk.shown) > 10)
        await talk.cut()
        received = talk.incoming.counts.sources_received
        before = talk._tasks[1]
        before.cancel()
        await asyncio.gather(before, return_exceptions=True)
        near, far = memory_pair(delay=0.005)
        talk.incoming, talk.shown = incoming_half(), []
        talk.far = ResumingLink(far, resumed=True)
        follow(talk.far, talk.incoming)
        talk._tasks[1] = asyncio.create_task(run_call(talk.far, talk.incoming, asyncio.Event()))
        talk.near.renew(near)
        await until(lambda: len(talk.shown) > 10)
        assert received == 1
        assert talk.outgoing.counts.sources_sent == 2
        assert talk.outgoing.counts.malformed == 0


async def test_a_sender_that_was_started_again_goes_on_in_the_same_call() -> None:
    async with call() as talk:
        await until(lambda: len(talk.shown) > 10)
        await talk.cut()
        before = talk._tasks[0]
        before.cancel()
        await asyncio.gather(before, return_exceptions=True)
        near, far = memory_pair(delay=0.005)
        talk.outgoing, talk.frames = outgoing_half(bundle=2), 0
        talk.near = ResumingLink(near)
        follow(talk.near, talk.outgoing)
        talk._tasks[0] = asyncio.create_task(run_call(talk.near, talk.outgoing, talk._ended))
        shown = len(talk.shown)
        talk.far.renew(far, replaced=True)
        await until(lambda: len(talk.shown) > shown + 10)
        assert talk.incoming.counts.sources_received == 2
        assert len(talk.incoming.gallery.sources) == 1
        assert talk.incoming.counts.malformed == talk.outgoing.counts.malformed == 0
        assert talk.shown == sorted(talk.shown)  # for the recording the call goes on


def test_a_source_prepared_for_a_sender_of_before_is_dropped() -> None:
    incoming, came = source_that_came()
    prepared = incoming.prepare(came)
    incoming.link_changed(Change.REPLACED, 20.0)
    incoming.add_source(prepared)
    said = [control.unpack_control(data) for _, data in incoming.tick(20.0)]
    assert [each for each in said if isinstance(each, control.Held)] == [control.Held(1, ())]
    assert incoming.held() == []


@pytest.mark.parametrize("away", [60.0, 1000.0, 100_000.0])
def test_frames_follow_however_long_the_connection_was_gone(away: float) -> None:
    outgoing, incoming = outgoing_half(bundle=2), incoming_half()
    numbers: list[int] = []

    def film(begin: float, frames: int) -> None:
        for n in range(frames):
            now = begin + n / FPS
            job = outgoing.push(outgoing.analyse(picture(n % 20, 1)), now, now)
            if job is not None:
                outgoing.done(job.perform(), now)
            for message in outgoing.tick(now, 0):
                incoming.receive(*message, now)
            while (came := incoming.next_job()) is not None:
                incoming.add_source(incoming.prepare(came))
            for message in incoming.tick(now):
                outgoing.receive(*message, now)
            if (item := incoming.due(now)) is not None and item[1]:
                numbers.append(item[0].number)

    film(0.0, 50)
    before = len(numbers)
    assert before > 20
    for half in (outgoing, incoming):
        half.link_changed(Change.LOST, 2.0)
    for half in (outgoing, incoming):
        half.link_changed(Change.RENEWED, away)
    film(away, 50)
    assert len(numbers) - before > 20
    assert numbers == sorted(numbers)
    assert incoming.counts.sources_received == 1


@pytest.mark.parametrize("face", [True, False])
def test_the_receiver_hears_again_whether_there_is_a_face(face: bool) -> None:
    outgoing = outgoing_half()
    outgoing.push(outgoing.analyse(picture(0, 1)) if face else None, 0.0, 0.0)
    outgoing.tick(0.0, 0)
    outgoing.link_changed(Change.LOST, 1.0)
    outgoing.link_changed(Change.RENEWED, 2.0)
    said = [control.unpack_control(data) for channel, data in outgoing.tick(2.0, 0)]
    assert (control.Note(control.NO_FACE) in said) is not face
    assert said  # in any case a sign of life
