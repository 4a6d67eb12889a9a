"""Viewers on a real aiortc connection over this machine's own addresses."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack
from call_examples import psnr

from shared.models.engine import Picture
from shared.transport.viewer_audio import BLOCK, RATE
from shared.transport.viewers import (
    CLOCK_RATE,
    HOLD_SECONDS,
    Feed,
    PictureTrack,
    Timeline,
    TooManyViewers,
    Viewer,
    Viewers,
)
from shared.transport.webrtc import BadDescription

WITHIN = 30.0


def plain(level: int) -> Picture:
    picture = np.full((64, 64, 3), level, np.uint8)
    picture[:8, :8] = 255 - level
    return picture


class Browser:
    """What a browser does, by aiortc."""

    def __init__(self, *kinds: str) -> None:
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.track: asyncio.Future[MediaStreamTrack] = asyncio.get_running_loop().create_future()
        self.sound: asyncio.Future[MediaStreamTrack] = asyncio.get_running_loop().create_future()
        self.pc.on("track", lambda track: (self.track if track.kind == "video" else self.sound).set_result(track))
        for kind in kinds:
            self.pc.addTransceiver(kind, direction="recvonly")

    async def offer(self) -> str:
        await self.pc.setLocalDescription(await self.pc.createOffer())
        return str(self.pc.localDescription.sdp)

    async def watch(self, viewer: Viewer) -> None:
        answer = await viewer.answer(await self.offer())
        await self.pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    async def frame(self) -> tuple[Picture, float]:
        frame = await asyncio.wait_for((await self.track).recv(), WITHIN)
        return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8), frame.time

    async def until_like(self, rgb: Picture, decibels: float = 30.0) -> None:
        async with asyncio.timeout(WITHIN):
            while (seen := (await self.frame())[0]).shape != rgb.shape or psnr(seen, rgb) < decibels:
                pass


@asynccontextmanager
async def browser(*kinds: str) -> AsyncIterator[Browser]:
    it = Browser(*(kinds or ("video",)))
    yield it
    await it.pc.close()


async def play(viewers: Viewers, pictures: list[Picture]) -> None:
    loop, number = asyncio.get_running_loop(), 0
    while True:
        viewers.show(number, pictures[number % len(pictures)], 25, loop.time())
        number += 1
        await asyncio.sleep(0.04)


async def test_two_viewers_see_what_is_shown(person: list[Picture]) -> None:
    viewers = Viewers()
    async with browser() as one, browser() as other:
        await one.watch(viewers.join())
        await other.watch(viewers.join())
        playing = asyncio.ensure_future(play(viewers, person[:1]))
        await one.until_like(person[0])
        await other.until_like(person[0])
        playing.cancel()
        assert len(viewers) == 2
        await viewers.close()
    assert len(viewers) == 0


@pytest.mark.parametrize("kinds", [("video", "audio"), ("audio", "video")])
async def test_sound_comes_over_the_same_connection(person: list[Picture], kinds: tuple[str, str]) -> None:
    viewers, tone = Viewers(), 0.5 * np.sin(2 * np.pi * 440 * np.arange(BLOCK) / RATE)  # no whole periods: it clicks
    async with browser(*kinds) as one:
        viewer = viewers.join()
        await one.watch(viewer)
        playing = asyncio.ensure_future(play(viewers, person[:1]))
        await one.until_like(person[0], 25)

        async def sing() -> None:
            at = 0
            while True:
                viewers.sound.push(tone.astype(np.float32), at)
                at += BLOCK
                await asyncio.sleep(BLOCK / RATE)

        singing = asyncio.ensure_future(sing())
        async with asyncio.timeout(WITHIN):
            while np.abs((await (await one.sound).recv()).to_ndarray()).max() < 8000:
                pass
        assert viewer._pc is not None
        assert len({each.sender.transport for each in viewer._pc.getTransceivers()}) == 1
        assert len({each.sender._stream_id for each in viewer._pc.getTransceivers()}) == 1  # kept in step by that
        for task in (playing, singing):
            task.cancel()
        await viewers.close()


async def test_who_joins_while_nothing_moves_sees_the_last_picture(person: list[Picture]) -> None:
    viewers = Viewers()
    viewers.show(0, person[0], 25, 0.0)
    async with browser() as late:
        await late.watch(viewers.join())
        await late.until_like(person[0], 25)
        await viewers.close()


async def test_the_next_call_may_have_another_size(person: list[Picture]) -> None:
    viewers = Viewers()
    async with browser() as one:
        await one.watch(viewers.join())
        for rgb in (person[0], np.ascontiguousarray(person[20][:128, :128])):
            playing = asyncio.ensure_future(play(viewers, [rgb]))
            await one.until_like(rgb, 25)
            playing.cancel()
            viewers.clear()
        await viewers.close()


async def test_a_viewer_that_leaves_frees_its_place_and_its_connection(person: list[Picture]) -> None:
    viewers = Viewers(most=1)
    viewer = viewers.join()
    with pytest.raises(TooManyViewers, match="1 people are watching"):
        viewers.join()
    async with browser() as one:
        await one.watch(viewer)
        playing = asyncio.ensure_future(play(viewers, person))
        await one.frame()
        assert viewer.connected
        gone = weakref.ref(viewer._pc)
        await viewer.close()
        await viewer.close()
        playing.cancel()
    assert not viewer.connected
    async with asyncio.timeout(WITHIN):
        while gone() is not None:  # tasks that were cancelled need a turn of the loop to go
            await asyncio.sleep(0.01)
            gc.collect()
    viewers.join()


async def test_a_new_offer_takes_the_place_of_the_old_connection(person: list[Picture]) -> None:
    viewers = Viewers()
    viewer = viewers.join()
    playing = asyncio.ensure_future(play(viewers, person))
    async with browser() as before, browser() as after:
        await before.watch(viewer)
        await before.frame()
        await after.watch(viewer)
        await after.frame()
        assert len(viewers) == 1
        playing.cancel()
        await viewers.close()


@pytest.mark.parametrize(
    "offer",
    [
        "",
        "v=0",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=fingerprint:sha-256 00",
        "m=video 9\r\n" * 2,
        "m=audio 9\r\na=fingerprint:sha-256 00",
        "m=video 9\r\nm=audio 9\r\nm=audio 9\r\na=fingerprint:sha-256 00",
    ],
)
async def test_what_is_not_one_video_is_refused(offer: str) -> None:
    viewers = Viewers()
    with pytest.raises(BadDescription, match="not one video"):
        await viewers.join().answer(offer)
    await viewers.close()


async def test_an_offer_that_cannot_be_read_is_refused() -> None:
    viewers = Viewers()
    viewer = viewers.join()
    with pytest.raises(BadDescription, match="cannot be understood"):
        await viewer.answer("m=video nonsense\r\na=fingerprint:sha-256 00\r\n")
    assert viewer._pc is None
    async with browser() as one:  # and the viewer may try again
        await one.watch(viewer)
        await viewers.close()


async def test_addresses_that_a_browser_hides_are_not_looked_up() -> None:
    viewers = Viewers()
    async with browser() as one:
        lines = (await one.offer()).splitlines()
        lines.insert(
            next(i for i, line in enumerate(lines) if line.startswith("a=candidate")),
            "a=candidate:1 1 udp 2113937151 8c1b3b9c-1f7e-4a0e-9a7a-aaaaaaaaaaaa.local 50000 typ host",
        )
        answer = await viewers.join().answer("\r\n".join(lines) + "\r\n")
        await one.pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        viewers.show(0, plain(128), 25, 0.0)
        await one.until_like(plain(128))
        await viewers.close()


async def test_slow_viewers_get_the_newest_picture() -> None:
    feed = Feed()
    track = PictureTrack(feed)
    for level in (10, 100, 200):
        feed.show(plain(level), level / 100)
    frame = await track.recv()
    assert np.abs(frame.to_ndarray(format="rgb24")[16:].astype(int) - 200).max() <= 3
    assert frame.pts == 2 * CLOCK_RATE
    feed.show(plain(50), 1.0)  # the clock of a new call may be behind
    assert (await track.recv()).pts == 2 * CLOCK_RATE + 1


async def test_the_same_picture_is_not_news() -> None:
    feed, same = Feed(), plain(10)
    feed.show(same, 0.0)
    version, _, _ = await feed.newest(0)
    feed.show(same, 1.0)
    assert (await feed.newest(version))[0] == version  # held, and sent again


async def test_after_the_call_nothing_of_it_is_sent() -> None:
    feed = Feed()
    feed.show(plain(10), 0.0)
    feed.clear()
    coming = asyncio.ensure_future(feed.newest(0))
    await asyncio.sleep(1.5 * HOLD_SECONDS)
    assert not coming.done()
    feed.show(plain(20), 1.0)
    await coming


def test_frames_are_as_even_as_their_numbers_however_unevenly_they_are_drawn() -> None:
    timeline = Timeline()
    drawn = [(0, 7.0), (1, 7.09), (2, 7.09), (4, 7.15)]
    assert [round(timeline.stamp(number, 25, now), 6) for number, now in drawn] == [7.0, 7.04, 7.08, 7.16]


def test_a_new_call_or_a_longer_delay_starts_the_timeline_again() -> None:
    timeline = Timeline()
    timeline.stamp(1000, 25, 50.0)
    assert timeline.stamp(0, 25, 60.0) == 60.0
    assert timeline.stamp(25, 25, 61.4) == 61.0
    assert timeline.stamp(50, 25, 63.0) == 63.0
