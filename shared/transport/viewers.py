"""Browsers that watch what this machine draws, over WebRTC by aiortc: one connection each, one feed for all.

A viewer is on this machine or near it, so pictures and sound go as ordinary media, at rates that no thin link carries.
Every viewer has an encoder of its own, because each may ask for a whole picture at any time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from numpy.typing import NDArray

from shared.tasks import watched
from shared.transport.aiortc_patches import consent, ice_paths, private_state
from shared.transport.viewer_audio import SoundFeed, ViewerAudioTrack
from shared.transport.webrtc import MOST_CANDIDATES, SHUTDOWN_TIME, BadDescription

logger = logging.getLogger(__name__)

MOST_VIEWERS = 8
"""Watching at a time; each costs an encoder and a connection."""
HOLD_SECONDS = 0.5
"""After which a picture is sent again when no newer one came: who joins while nothing moves must see something."""
CLOCK_RATE = 90_000
"""Ticks a second of video in RTP (RFC 7741, section 4.2)."""
_ASTRAY_SECONDS = 0.5
"""Difference between frame numbers and clock that is not jitter but another delay, or another call."""


class TooManyViewers(Exception):
    """As many as may watch do. The text is what the viewer is told."""


@dataclass
class Timeline:
    """Even times for frames that are shown unevenly: from their numbers, kept near the clock. Times are seconds."""

    _offset: float | None = None

    def stamp(self, number: float, fps: float, now: float) -> float:
        """When frame `number` belongs on screen, for one that is shown `now`; within half a second of it."""
        at = number / fps
        if self._offset is None or abs(at + self._offset - now) > _ASTRAY_SECONDS:
            self._offset = now - at
        return at + self._offset


class Feed:
    """The newest picture. Whoever is slow misses those in between; nothing waits in a queue."""

    def __init__(self) -> None:
        self._rgb: NDArray[np.uint8] | None = None
        self._yuv: asyncio.Future[NDArray[np.uint8]] | None = None
        self._at = 0.0
        self._version = 0
        self._news = asyncio.Event()

    def show(self, rgb: NDArray[np.uint8], at: float) -> None:
        """Takes an (H, W, 3) uint8 RGB picture, sides even, that belongs on screen at `at` of the monotonic clock."""
        if rgb is self._rgb:
            return
        self._rgb, self._yuv, self._at = rgb, None, at
        self._version += 1
        news, self._news = self._news, asyncio.Event()
        news.set()

    def clear(self) -> None:
        """Forgets the picture; viewers get none until there is another one."""
        self._rgb = self._yuv = None

    async def newest(self, after: int) -> tuple[int, NDArray[np.uint8], float]:
        """Version, picture (3H/2, W) in YUV 4:2:0 and time: one newer than version `after` as soon as there is one,
        the present one again after HOLD_SECONDS."""
        while True:
            news = self._news
            if self._rgb is not None and self._version > after:
                version, at = self._version, self._at  # a newer one may come meanwhile
                return version, await self._planes(self._rgb), at
            try:
                async with asyncio.timeout(HOLD_SECONDS):
                    await news.wait()
            except TimeoutError:
                if self._rgb is not None:
                    version = self._version
                    return version, await self._planes(self._rgb), time.monotonic()

    async def _planes(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self._yuv is None:  # once for all viewers, and not at all without any
            self._yuv = asyncio.get_running_loop().run_in_executor(None, _yuv, rgb)
        return await asyncio.shield(self._yuv)  # a viewer that leaves takes it from nobody


def _yuv(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(3H/2, W) YUV 4:2:0 of an (H, W, 3) picture. A millisecond or two, for a worker."""
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p")
    return np.asarray(frame.to_ndarray(), np.uint8)


class PictureTrack(MediaStreamTrack):
    """A feed as a viewer's video track."""

    kind = "video"

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self._feed, self._version, self._ticks = feed, 0, -1

    async def recv(self) -> av.VideoFrame:
        """The next frame, as aiortc asks for it; times never go back."""
        if self.readyState != "live":
            raise MediaStreamError
        self._version, planes, at = await self._feed.newest(self._version)
        # Not one frame for all viewers: an encoder writes its wishes into the frames it is given.
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        self._ticks = max(round(at * CLOCK_RATE), self._ticks + 1)
        frame.pts, frame.time_base = self._ticks, Fraction(1, CLOCK_RATE)
        return frame


class Viewer:
    """One browser. Close it in the end, whatever happened."""

    def __init__(self, viewers: Viewers) -> None:
        self.hearing = False
        """Whether it wants sound: a browser begins without."""
        self._viewers = viewers
        self._pc: RTCPeerConnection | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def answer(self, offer: str) -> str:
        """SDP that answers a browser's offer to receive one video, and sound or not; a connection that was there
        before is given up.

        Raises BadDescription.
        """
        _check(offer)
        self._drop()
        pc = self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))  # None would ask a public STUN server
        try:
            for kind in _kinds(offer):  # in this order: the first one's transport carries all
                self._add(pc, kind)
            self._watch(pc)
            await pc.setRemoteDescription(RTCSessionDescription(_reachable(offer), "offer"))
            await pc.setLocalDescription(await pc.createAnswer())
        except Exception as error:  # aiortc's parser asserts, indexes and converts without naming what it found
            self._drop()
            raise BadDescription(f"the offer cannot be understood ({type(error).__name__}: {error})") from error
        return str(pc.localDescription.sdp)

    @property
    def connected(self) -> bool:
        """Whether pictures can reach the browser."""
        return self._pc is not None and self._pc.connectionState == "connected"

    async def close(self) -> None:
        """Frees everything. May be called twice."""
        self._viewers.left(self)
        self._drop()
        if self._closing:
            _, late = await asyncio.wait(self._closing, timeout=SHUTDOWN_TIME)
            for task in late:
                logger.warning("a viewer's connection did not close within %g s and was dropped", SHUTDOWN_TIME)
                task.cancel()

    def _add(self, pc: RTCPeerConnection, kind: str) -> None:
        if kind == "audio":
            pc.addTransceiver(ViewerAudioTrack(self._viewers.sound), direction="sendonly")
            return
        transceiver = pc.addTransceiver(PictureTrack(self._viewers.feed), direction="sendonly")
        transceiver.setCodecPreferences(
            [each for each in RTCRtpSender.getCapabilities("video").codecs if each.mimeType == "video/VP8"]
        )

    def _watch(self, pc: RTCPeerConnection) -> None:
        def changed() -> None:
            if pc is self._pc and pc.connectionState in ("failed", "closed"):
                self._drop()

        pc.on("connectionstatechange", changed)
        connection = private_state.ice_connection(pc)
        if connection is not None:
            ice_paths.allow_loopback(connection)
            consent.extend_consent(connection, self._drop)

    def _drop(self) -> None:
        if self._pc is not None:
            task = watched(self._pc.close(), "a viewer's connection did not close cleanly")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
            self._pc = None


class Viewers:
    """All who watch, and what they see."""

    def __init__(self, most: int = MOST_VIEWERS) -> None:
        self.feed, self.sound = Feed(), SoundFeed()
        self._most = most
        self._watching: set[Viewer] = set()
        self._timeline = Timeline()

    def __len__(self) -> int:
        return len(self._watching)

    @property
    def hearing(self) -> bool:
        """Whether anybody wants sound."""
        return any(viewer.hearing for viewer in self._watching)

    def join(self) -> Viewer:
        """Another viewer. Raises TooManyViewers."""
        if len(self._watching) >= self._most:
            raise TooManyViewers(f"{self._most} people are watching already, and no more can: try again later")
        viewer = Viewer(self)
        self._watching.add(viewer)
        return viewer

    def left(self, viewer: Viewer) -> None:
        """Makes room. May be called twice."""
        self._watching.discard(viewer)

    def show(self, number: float, rgb: NDArray[np.uint8], fps: float, now: float) -> None:
        """Shows frame `number` of a call at `fps`, an (H, W, 3) uint8 RGB picture, to all."""
        self.feed.show(rgb, self._timeline.stamp(number, fps, now))

    def clear(self) -> None:
        """Forgets what was shown and heard: the call is over."""
        self.feed.clear()
        self.sound.clear()

    async def close(self) -> None:
        """Ends all connections."""
        await asyncio.gather(*(viewer.close() for viewer in list(self._watching)), return_exceptions=True)


def _check(offer: str) -> None:
    if sorted(_kinds(offer)) not in (["video"], ["audio", "video"]) or "a=fingerprint:" not in offer:
        raise BadDescription(
            "the offer is not one video, with or without sound, and a fingerprint; is it from the page?"
        )
    if offer.count("a=candidate:") > 2 * MOST_CANDIDATES:  # named once for the video and once for the sound
        raise BadDescription(f"the offer names more than {2 * MOST_CANDIDATES} addresses")


def _kinds(offer: str) -> list[str]:
    """Of the media offered, in their order."""
    return [line[2:].partition(" ")[0] for line in offer.splitlines() if line.startswith("m=")]


def _reachable(offer: str) -> str:
    """The offer without candidates that only a multicast query could resolve, and left open for others: browsers hide
    their addresses like that, and show them when they knock."""
    hidden = [line for line in offer.splitlines() if line.startswith("a=candidate:") and ".local " in line]
    kept = [line for line in offer.splitlines() if line not in hidden and line != "a=end-of-candidates"]
    return "\r\n".join(kept) + "\r\n"
