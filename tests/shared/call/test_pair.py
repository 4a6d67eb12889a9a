"""Both directions of a call as one half."""

from __future__ import annotations

import asyncio

import pytest
from call_examples import FPS, incoming_half, outgoing_half, picture
from memory_link import memory_pair
from virtual_time import in_virtual_time

from receiver.decoder import CallDecoder
from sender import encoder as outgoing_module
from sender.encoder import CallEncoder
from shared.call import loop as module
from shared.call.directions import WAIT_SECONDS, Pair
from shared.call.loop import Outgoing, TooManyErrors, follow, run_call
from shared.codec import control
from shared.transport.link import Channel, Link
from shared.transport.resuming import ResumingLink


def bye(messages: list[Outgoing]) -> list[control.Bye]:
    found = [control.unpack_control(data) for channel, data in messages if channel is Channel.CONTROL]
    return [message for message in found if isinstance(message, control.Bye)]


def pair() -> tuple[Pair, CallEncoder, CallDecoder]:
    outgoing, incoming = outgoing_half(bundle=2), incoming_half()
    return Pair(outgoing, incoming), outgoing, incoming


async def converse(link: Link, both: tuple[Pair, CallEncoder, CallDecoder], yaws: list[float]) -> list[float]:
    """Films these yaws and says goodbye; the yaws that were seen of the other side."""
    half, outgoing, incoming = both
    ended, seen = asyncio.Event(), []
    loop = asyncio.get_running_loop()
    for each in (outgoing, incoming):
        follow(link, each)
    call = asyncio.ensure_future(run_call(link, half, ended))

    def look(now: float) -> None:
        while (job := incoming.next_job()) is not None:
            incoming.add_source(incoming.prepare(job))
        while (item := incoming.due(now)) is not None:
            if item[1]:
                seen.append(float(incoming.draw(*item)[0, 0, 0]) / 2 - 64)

    for number, yaw in enumerate(yaws):
        job = outgoing.push(outgoing.analyse(picture(yaw)), number / FPS, loop.time())
        if job is not None:
            outgoing.done(job.perform(), loop.time())
        look(loop.time())
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    look(loop.time() + 1)
    ended.set()
    await call
    return seen


@in_virtual_time
async def test_each_side_sees_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICK_SECONDS", 0.002)
    a, b = memory_pair(delay=0.002)
    left, right = [-20.0 - n % 10 for n in range(80)], [20.0 + n % 10 for n in range(80)]
    by_a, by_b = await asyncio.gather(converse(a, pair(), left), converse(b, pair(), right))
    assert len(by_a) > 5 and len(by_b) > 5
    assert min(by_a) >= 19 and max(by_b) <= -19


@in_virtual_time
async def test_a_side_that_was_started_again_is_seen_again_and_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICK_SECONDS", 0.002)
    (a, b), (again, to_again) = memory_pair(delay=0.002), memory_pair(delay=0.002)
    stays, one, other = ResumingLink(b), pair(), pair()
    staying = asyncio.ensure_future(converse(stays, one, [20.0 + n % 10 for n in range(300)]))
    going = asyncio.ensure_future(converse(ResumingLink(a), other, [-20.0] * 300))
    while not one[2].gallery.sources or not other[2].gallery.sources:
        await asyncio.sleep(0.01)
    going.cancel()  # as if it were killed: nothing is said
    await asyncio.gather(going, return_exceptions=True)
    stays.renew(to_again, replaced=True)
    back = pair()
    seen = await converse(ResumingLink(again, resumed=True), back, [-20.0 - n % 10 for n in range(80)])
    assert len(seen) > 5 and min(seen) >= 19
    assert max(await staying) <= -19
    assert back[1].counts.sources_held > 0


def test_messages_go_to_the_half_they_are_for() -> None:
    both, outgoing, incoming = pair()
    both.receive(Channel.CONTROL, control.pack_control(control.Note(control.CAMERA_OFF)), 0.0)
    assert (incoming.face, incoming.camera_off) == (False, True)
    both.receive(Channel.MOTION, b"no bundle", 0.0)
    assert (incoming.counts.malformed, outgoing.counts.malformed) == (1, 0)
    both.receive(Channel.CONTROL, control.pack_control(control.Bye("enough")), 0.0)
    assert both.peer_bye == "enough"
    for _ in range(outgoing_module._MAX_MALFORMED):
        both.receive(Channel.CONTROL, b"\xff", 0.0)
    with pytest.raises(TooManyErrors):
        both.receive(Channel.CONTROL, b"\xff", 0.0)


def test_answers_ride_with_motion_and_wait_for_it_only_so_long() -> None:
    both, outgoing, _ = pair()
    assert both.tick(0.0, 0)  # the first statistics, at once: there is no motion yet
    job = outgoing.push(outgoing.analyse(picture(0)), 0.0, 0.0)
    assert job is not None
    sent = outgoing.done(job.perform(), 0.0)
    assert sent is not None
    outgoing.assume_held(sent.source_id)
    both.tick(0.1, 0)
    answers: list[tuple[float, bool]] = []
    for step in range(360):
        now = 0.2 + step / 50
        if step % 20 == 0 and now < 5:  # a bundle every 0.4 s, then none
            for number in range(2):
                outgoing.push(outgoing.analyse(picture(0)), now + number / FPS, now)
        out = both.tick(now, 0)
        if any(
            isinstance(control.unpack_control(data), control.Stats) for channel, data in out
            if channel is Channel.CONTROL
        ):  # fmt: skip
            answers.append((now, any(channel is Channel.MOTION for channel, _ in out)))
    assert [rides for _, rides in answers] == [True, True, False]
    assert answers[2][0] - answers[1][0] <= 2.0 + WAIT_SECONDS + 0.05


def test_one_goodbye_is_said() -> None:
    both, _, _ = pair()
    assert [message.reason for message in bye(both.finish("the end", 0.0))] == ["the end"]
