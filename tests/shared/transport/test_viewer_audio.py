from __future__ import annotations

import asyncio

import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError

from shared.transport.viewer_audio import BLOCK, RATE, SoundFeed, ViewerAudioTrack


def block(level: float) -> np.ndarray:
    return np.full(BLOCK, level, np.float32)


async def test_blocks_come_in_their_order_with_their_times() -> None:
    feed = SoundFeed()
    feed.push(block(0.1), 0)  # said before anybody listened
    track = ViewerAudioTrack(feed)
    for n in range(3):
        feed.push(block(n / 4), RATE + n * BLOCK)
    frames = [await track.recv() for _ in range(3)]
    assert [frame.pts for frame in frames] == [RATE, RATE + BLOCK, RATE + 2 * BLOCK]
    assert [int(frame.to_ndarray()[0, 0]) for frame in frames] == [0, 8192, 16384]
    assert {(f.sample_rate, f.layout.name, f.samples) for f in frames} == {(RATE, "mono", BLOCK)}


async def test_who_is_slow_misses_the_oldest_and_waits_for_the_next() -> None:
    feed = SoundFeed()
    track = ViewerAudioTrack(feed)
    for n in range(30):
        feed.push(block(0), n * BLOCK)
    heard = [(await track.recv()).pts // BLOCK for _ in range(10)]
    assert heard == list(range(20, 30))
    coming = asyncio.ensure_future(track.recv())
    await asyncio.sleep(0)
    assert not coming.done()
    feed.push(block(2.0), 30 * BLOCK)  # louder than there is
    assert int((await coming).to_ndarray().max()) == 32767


async def test_times_never_go_back() -> None:
    feed = SoundFeed()
    track = ViewerAudioTrack(feed)
    for at in (10 * BLOCK, 9 * BLOCK, 20 * BLOCK):
        feed.push(block(0), at)
    assert [(await track.recv()).pts // BLOCK for _ in range(3)] == [10, 11, 20]


async def test_nothing_of_a_call_is_heard_after_it() -> None:
    feed = SoundFeed()
    track = ViewerAudioTrack(feed)
    feed.push(block(0.5), 0)
    feed.clear()
    feed.push(block(0), 100 * BLOCK)
    assert (await track.recv()).pts == 100 * BLOCK
    track.stop()
    with pytest.raises(MediaStreamError):
        await track.recv()
