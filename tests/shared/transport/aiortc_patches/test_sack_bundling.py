from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiortc.rtcsctptransport import CookieAckChunk, DataChunk, SackChunk, parse_packet, serialize_packet

from shared.transport.aiortc_patches import byte_counting, sack_bundling, short_records
from shared.transport.aiortc_patches.sack_bundling import MAX_DELAY
from shared.transport.metering import WireMeter
from shared.transport.webrtc import Peer


def data(tsn: int, size: int = 30) -> DataChunk:
    chunk = DataChunk()
    chunk.tsn, chunk.stream_id, chunk.protocol, chunk.user_data = tsn, 0, 53, bytes(size)
    return chunk


class Transport:
    """As much of aiortc's SCTP transport as the change touches; its packets go to a list."""

    def __init__(self) -> None:
        self.packets: list[list[Any]] = []
        self.state = "connected"
        self.error: Exception | None = None
        self._sack_needed = False
        self._sack_misordered: set[int] = set()
        self._sack_duplicates: list[int] = []

    async def _send_chunk(self, chunk: Any) -> None:
        if self.error is not None:
            raise self.error
        self.packets.append(parse_packet(serialize_packet(5000, 5000, 1, chunk))[3])

    async def _send_sack(self) -> None:
        await self._send_chunk(SackChunk())

    async def receive(self) -> None:
        """A packet with data came."""
        self._sack_needed = True
        await self._send_sack()

    def sent(self) -> list[list[str]]:
        """Names of the chunks of each packet."""
        return [[type(chunk).__name__.removesuffix("Chunk") for chunk in packet] for packet in self.packets]


def changed() -> Transport:
    transport = Transport()
    sack_bundling.share_packets(SimpleNamespace(sctp=transport))  # type: ignore[arg-type]
    return transport


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_chunks_of_one_moment_share_a_packet_in_their_order() -> None:
    sctp = changed()
    for n in range(3):
        await sctp._send_chunk(data(n))
    assert not sctp.packets
    await settle()
    assert [[chunk.tsn for chunk in packet] for packet in sctp.packets] == [[0, 1, 2]]
    await sctp._send_chunk(data(3))
    await settle()
    assert sctp.sent() == [["Data"] * 3, ["Data"]]


async def test_a_packet_is_never_longer_than_aiortcs_longest() -> None:
    sctp = changed()
    for size in (400, 400, 400, 1160, 10):
        await sctp._send_chunk(data(0, size))
    await settle()
    assert [[len(chunk.user_data) for chunk in packet] for packet in sctp.packets] == [[400, 400], [400], [1160], [10]]
    longest = max(len(serialize_packet(0, 0, 0, sack_bundling._Packet(packet))) for packet in sctp.packets)
    assert longest <= 1189


async def test_a_chunk_needs_a_report_less_to_be_repeated_and_only_the_first_time() -> None:
    sctp = changed()
    first, again = data(0), data(1)
    first._misses = again._misses = 0
    first._sent_count, again._sent_count = 1, 2
    await sctp._send_chunk(first)
    await sctp._send_chunk(again)
    assert (first._misses, again._misses) == (sack_bundling.REPORTS_SPARED, 0)


async def test_every_second_packet_is_acknowledged() -> None:
    sctp = changed()
    for _ in range(4):
        await sctp.receive()
        assert not sctp._sack_needed
        await settle()
    assert sctp.sent() == [["Sack"], ["Sack"]]


async def test_a_packet_alone_is_acknowledged_a_little_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.transport.aiortc_patches.sack_bundling.MAX_DELAY", 0.02)
    sctp = changed()
    await sctp.receive()
    await settle()
    assert not sctp.packets
    while not sctp.packets:
        await asyncio.sleep(0.005)
    assert sctp.sent() == [["Sack"]]


async def test_a_waiting_acknowledgement_goes_with_the_next_data() -> None:
    sctp = changed()
    await sctp.receive()
    await sctp._send_chunk(data(0))
    await settle()
    assert sctp.sent() == [["Sack", "Data"]]
    await asyncio.sleep(MAX_DELAY + 0.05)
    assert len(sctp.packets) == 1


@pytest.mark.parametrize("missing", [{"_sack_misordered": {9}}, {"_sack_duplicates": [3]}])
async def test_gaps_and_repetitions_are_told_at_once(missing: dict[str, Any]) -> None:
    sctp = changed()
    vars(sctp).update(missing)
    await sctp.receive()
    await settle()
    assert sctp.sent() == [["Sack"]]


async def test_of_two_acknowledgements_only_the_newer_goes() -> None:
    sctp = changed()
    sctp._sack_misordered = {9}
    await sctp.receive()
    await sctp.receive()
    await settle()
    assert sctp.sent() == [["Sack"]]


async def test_other_chunks_travel_alone_and_after_what_waited() -> None:
    sctp = changed()
    await sctp._send_chunk(data(0))
    await sctp._send_chunk(CookieAckChunk())
    await settle()
    assert sctp.sent() == [["Data"], ["CookieAck"]]


async def test_the_end_of_the_connection_is_no_error_and_anything_else_is(caplog: pytest.LogCaptureFixture) -> None:
    sctp = changed()
    for sctp.error in (ConnectionError("gone"), RuntimeError("a bug")):
        await sctp._send_chunk(data(0))
        await settle()
    assert caplog.text.count("sending failed") == 1
    assert "a bug" in caplog.text
    sctp.error = None
    await sctp.receive()
    sctp.state = "closed"
    await asyncio.sleep(MAX_DELAY + 0.05)
    assert not sctp.packets


@pytest.mark.parametrize(
    "change",
    [
        sack_bundling.share_packets,
        short_records.shorten_records,
        lambda pc: byte_counting.count_chunks(pc, WireMeter()),
    ],
)
def test_what_is_gone_is_left_alone_and_logged(change: Any, caplog: pytest.LogCaptureFixture) -> None:
    stranger = SimpleNamespace(sctp=SimpleNamespace(transport=SimpleNamespace()))
    change(stranger)
    assert set(vars(stranger.sctp)) == {"transport"}
    assert vars(stranger.sctp.transport) == {}
    assert "any more" in caplog.text


async def test_the_shorter_cipher_is_agreed_on_and_others_stay_possible() -> None:
    a, b = Peer(), Peer()
    try:
        await a.accept_answer(await b.accept_offer(await a.create_offer()))
        await asyncio.gather(a.wait_open(), b.wait_open())
        ssl = a._pc.sctp.transport._ssl
        assert "CHACHA20" in ssl.get_cipher_name()
        assert any("AES128-GCM" in cipher for cipher in ssl.get_cipher_list())
    finally:
        await asyncio.gather(a.close(), b.close())
