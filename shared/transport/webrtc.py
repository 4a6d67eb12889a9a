"""The real link: WebRTC data channels, by aiortc."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import Any

from aiortc import RTCConfiguration, RTCDataChannel, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc.rtcconfiguration import RTCIceTransportPolicy

from shared.tasks import watched
from shared.transport.aiortc_patches import (
    byte_counting,
    consent,
    ice_paths,
    private_state,
    sack_bundling,
    short_records,
)
from shared.transport.ice import IceSettings
from shared.transport.link import Channel, CommonLink, Fingerprints, LinkClosed, WireBytes
from shared.transport.metering import WireMeter

logger = logging.getLogger(__name__)
for _library in ("aiortc", "aioice"):  # below that they write ICE passwords and the addresses of both sides
    logging.getLogger(_library).setLevel(logging.WARNING)

DRAIN_TIME = 0.5
"""Seconds that `close` gives messages still queued, a farewell for one."""
DRAIN_STEP = 0.01
MOST_CANDIDATES = 64
"""Of one side: a machine with many networks has twenty or thirty."""
SHUTDOWN_TIME = 5.0
"""Seconds that aiortc may take to close; a TURN server that does not answer would hold it for a minute."""


class BadDescription(ValueError):
    """A session description that does not describe a Pinhole connection."""


class Peer(CommonLink):
    """One end of a call: a `Link`, once offer and answer have been exchanged and `wait_open` has returned.

    Must be made while an event loop runs, and closed in the end whatever happened.
    """

    def __init__(self, ice: IceSettings | None = None, *, by_hand: bool = False) -> None:
        """`by_hand`: people carry offer and answer, so minutes may lie between them."""
        super().__init__()
        self._wire = WireMeter()
        ice = ice or IceSettings()
        policy = RTCIceTransportPolicy.RELAY if ice.relay_only else RTCIceTransportPolicy.ALL
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=_servers(ice), iceTransportPolicy=policy))
        self._relay_wanted, self._advice = ice.turn is not None, ice.advice
        # Channels agreed on beforehand need no opening messages. All are reliable: partial reliability in aiortc can
        # end in a storm of FORWARD-TSN chunks after a single stall.
        self._channels = {
            channel: self._pc.createDataChannel(
                channel.value, ordered=channel is Channel.CONTROL, negotiated=True, id=stream_id
            )
            for stream_id, channel in enumerate(Channel)
        }
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._shutdown: asyncio.Task[None] | None = None
        self._mapping: asyncio.Task[None] | None = None
        self._fingerprints: Fingerprints | None = None
        for channel, data_channel in self._channels.items():
            self._attach(channel, data_channel)
        self._pc.on("connectionstatechange", self._state_changed)
        short_records.shorten_records(self._pc)
        byte_counting.count_chunks(self._pc, self._wire)
        sack_bundling.share_packets(self._pc)
        connection = private_state.ice_connection(self._pc)
        if connection is not None:
            byte_counting.count_datagrams(connection, self._wire)
            if not ice.relay_only:
                ice_paths.allow_loopback(connection)
            consent.extend_consent(connection, lambda: self._end("nothing was heard from the other side"))
            if by_hand:
                ice_paths.keep_checking(connection)
                self._mapping = watched(ice_paths.keep_mapped(connection), "a router may forget this machine")

    async def create_offer(self) -> str:
        """SDP to hand to the other side, candidates included; takes up to 5 s if STUN or TURN does not answer."""
        await self._pc.setLocalDescription(await self._pc.createOffer())
        return self._described()

    async def accept_offer(self, sdp: str) -> str:
        """SDP that answers an offer. Raises BadDescription; close the peer then."""
        await self._set_remote(sdp, "offer")
        await self._pc.setLocalDescription(await self._pc.createAnswer())
        return self._described()

    async def accept_answer(self, sdp: str) -> None:
        """Take the answer to this side's offer. Raises BadDescription; close the peer then."""
        await self._set_remote(sdp, "answer")

    async def wait_open(self, within: float = 20.0) -> None:
        """Wait until all channels are open. Raises LinkClosed, the link being closed then, after `within` seconds."""
        either: set[asyncio.Future[Any]] = {self._opened, self._ended}
        await asyncio.wait(either, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        if not self._opened.done():
            self._end(f"no connection to the other side within {within:g} s: {self._advice}")
        if self._ended.done():
            await self.close()
            raise LinkClosed(self._ended.result())
        if not self.wire().received.packets:
            logger.warning("no datagram was counted: the figures for bytes on the wire will be wrong")

    @property
    def queued(self) -> int:
        """See `Link.queued`."""
        return sum(each.bufferedAmount for each in self._channels.values()) + byte_counting.outbound_bytes(self._pc)

    @property
    def fingerprints(self) -> Fingerprints | None:
        """See `Link.fingerprints`."""
        if self._fingerprints is None:  # they never change, and a description takes its time to be written out
            ours, theirs = self._pc.localDescription, self._pc.remoteDescription
            if not ours or not theirs:
                return None
            # What aiortc has understood of the other side's description, not the text that came: DTLS is held to this.
            self._fingerprints = Fingerprints(fingerprint(ours.sdp), fingerprint(theirs.sdp))
        return self._fingerprints

    def send(self, channel: Channel, data: bytes) -> None:
        """See `Link.send`."""
        if self._ended.done():
            raise LinkClosed(self._ended.result())
        if self._channels[channel].readyState != "open":
            raise LinkClosed("the link is not open yet")
        self._channels[channel].send(data)
        self._sent.count(channel, data)

    def wire(self) -> WireBytes:
        """See `Link.wire`."""
        return self._wire.snapshot()

    async def close(self) -> None:
        """See `Link.close`. Gives what is queued half a second to leave."""
        try:
            if not self._ended.done():
                await self._drain()
        finally:
            self._end("closed on this side")
        if self._shutdown is not None:
            await asyncio.wait({self._shutdown}, timeout=SHUTDOWN_TIME)
            if not self._shutdown.done():
                logger.warning("the connection did not close within %g s and was dropped", SHUTDOWN_TIME)
                self._shutdown.cancel()

    def _described(self) -> str:
        sdp: str = self._pc.localDescription.sdp
        if self._relay_wanted and " typ relay" not in sdp:
            logger.warning("the TURN server gave no relay: check its address, user and password")
        return sdp

    def _attach(self, channel: Channel, data_channel: RTCDataChannel) -> None:
        def message(data: bytes | str) -> None:
            if isinstance(data, bytes):  # nothing here sends text
                self._deliver(channel, data)

        data_channel.on("message", message)
        data_channel.on("open", self._channel_opened)
        data_channel.on("close", lambda: self._end("the other side closed the connection"))

    def _channel_opened(self) -> None:
        if not self._opened.done() and all(each.readyState == "open" for each in self._channels.values()):
            self._opened.set_result(None)

    def _state_changed(self) -> None:
        if self._pc.connectionState == "failed":
            no_path = f"no path to the other side was found: {self._advice}"
            self._end("the connection was lost" if self._opened.done() else no_path)
        elif self._pc.connectionState == "closed":
            self._end("the other side closed the connection")

    def _end(self, reason: str) -> None:
        super()._end(reason)
        if self._mapping is not None:
            self._mapping.cancel()
        if self._shutdown is None:
            self._shutdown = watched(self._pc.close(), "the connection did not close cleanly")

    async def _drain(self) -> None:
        await asyncio.sleep(0)  # aiortc sends from a task of its own
        for _ in range(int(DRAIN_TIME / DRAIN_STEP)):
            if not self.queued:
                return
            await asyncio.sleep(DRAIN_STEP)

    async def _set_remote(self, sdp: str, kind: str) -> None:
        sections = [line for line in sdp.splitlines() if line.startswith("m=")]
        if len(sections) != 1 or not sections[0].startswith("m=application ") or "a=fingerprint:" not in sdp:
            raise BadDescription(f"the {kind} is not one data connection with a fingerprint; is it from Pinhole?")
        if sdp.count("a=candidate:") > MOST_CANDIDATES:  # each is sent packets before it is known who is there
            raise BadDescription(f"the {kind} names more than {MOST_CANDIDATES} addresses")
        try:
            await self._pc.setRemoteDescription(RTCSessionDescription(sdp, kind))
        except Exception as error:  # aiortc's parser asserts, indexes and converts without naming what it found
            what = f"{type(error).__name__}: {str(error)[:200]!a}"  # it may hold anything of the description
            raise BadDescription(f"the {kind} cannot be understood ({what})") from error


def fingerprint(sdp: str) -> bytes:
    """32 bytes for all certificate fingerprints that a session description names, whatever their order.

    All of them count: of a description that keeps one and changes another, DTLS might take the other.
    """
    lines = {line.strip().lower() for line in sdp.splitlines() if line.startswith("a=fingerprint:")}
    return hashlib.sha256("\n".join(sorted(lines)).encode()).digest()


def _servers(ice: IceSettings) -> list[RTCIceServer]:
    # An empty list, not None: aiortc would ask a public STUN server otherwise.
    servers = [RTCIceServer(ice.stun)] if ice.stun else []
    if ice.turn:
        servers.append(RTCIceServer(ice.turn.url, ice.turn.user, ice.turn.password))
    return servers
