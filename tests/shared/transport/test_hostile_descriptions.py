"""Damaged and excessive session descriptions, given to a real peer: refused with its own error, or answered."""

from __future__ import annotations

import pytest

from benchmarks.mutation import Mutator
from shared.transport.viewers import Viewers
from shared.transport.webrtc import MOST_CANDIDATES, BadDescription, Peer

TOKENS = (
    *(b"m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n", b"a=candidate:", b"a=fingerprint:sha-256 00\r\n"),
    *(b"\r\n", b"a=ice-ufrag:", b"a=setup:passive\r\n", b"a=mid:\r\n", b" 99999 ", b"\x1b[31m"),
)


@pytest.fixture
async def offer() -> str:
    peer = Peer()
    try:
        return await peer.create_offer()
    finally:
        await peer.close()


async def test_damaged_offers_are_answered_or_refused(offer: str) -> None:
    mutator, refused = Mutator("descriptions", (offer.encode(),), 8192, TOKENS), []
    for _ in range(40):
        peer = Peer()
        try:
            await peer.accept_offer(mutator.next().decode("utf-8", "replace"))
        except BadDescription as error:
            refused.append(str(error))
        finally:
            await peer.close()
    assert len(refused) > 5
    assert all(each.isprintable() and len(each) < 400 for each in refused)


async def test_an_offer_cannot_have_packets_sent_to_everybody(offer: str) -> None:
    candidate = next(line for line in offer.splitlines() if line.startswith("a=candidate:"))
    peer = Peer()
    try:
        with pytest.raises(BadDescription, match="more than 64 addresses"):
            await peer.accept_offer(offer + f"{candidate}\r\n" * (MOST_CANDIDATES + 1))
    finally:
        await peer.close()


async def test_nor_can_the_offer_of_a_browser() -> None:
    candidate = "a=candidate:1 1 udp 2130706431 192.0.2.1 9 typ host\r\n"
    viewer = Viewers().join()
    try:
        with pytest.raises(BadDescription, match="more than 128 addresses"):
            await viewer.answer(
                "m=video 9 X 96\r\na=fingerprint:sha-256 00\r\n" + candidate * (2 * MOST_CANDIDATES + 1)
            )
    finally:
        await viewer.close()
