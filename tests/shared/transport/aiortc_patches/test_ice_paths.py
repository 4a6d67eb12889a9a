"""Minutes between offer and answer, made short."""

from __future__ import annotations

import asyncio

import aioice.ice
import aioice.stun
import pytest
from aioice.candidate import Candidate

from shared.transport.aiortc_patches import ice_paths
from shared.transport.link import LinkClosed
from shared.transport.webrtc import Peer

pytestmark = pytest.mark.usefixtures("hasty")


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """aioice gives a path up at once, and we try it again soon."""
    monkeypatch.setattr(aioice.ice.ifaddr, "get_adapters", list)  # only loopback
    monkeypatch.setattr(aioice.stun, "RETRY_RTO", 0.01)
    monkeypatch.setattr(aioice.stun, "RETRY_MAX", 0)
    monkeypatch.setattr(ice_paths, "CHECK_AGAIN", 0.1)


async def meet_late(answering: Peer) -> None:
    """The offering side hears of the answer when every path has been given up already."""
    offering = Peer(by_hand=True)
    try:
        offer = await offering.create_offer()
        connection = offering._pc.sctp.transport.transport._connection
        # Nothing answers at the addresses of the offer until its machine knows what was answered.
        respond, connection.request_received = connection.request_received, lambda *arguments: None
        answer = await answering.accept_offer(offer)
        await asyncio.sleep(0.5)
        connection.request_received = respond
        await offering.accept_answer(answer)
        await asyncio.gather(offering.wait_open(60), answering.wait_open(60))
    finally:
        await offering.close()


async def test_a_patient_side_is_still_there_after_every_path_failed() -> None:
    answering = Peer(by_hand=True)
    try:
        await meet_late(answering)
    finally:
        await answering.close()


async def test_an_impatient_one_is_not() -> None:
    answering = Peer()
    try:
        with pytest.raises(LinkClosed, match="no path to the other side was found"):
            await meet_late(answering)
    finally:
        await answering.close()


async def test_a_patient_side_closes_like_any_other() -> None:
    offering, answering = Peer(), Peer(by_hand=True)
    await answering.accept_offer(await offering.create_offer())
    await offering.close()
    await asyncio.sleep(0.3)
    await asyncio.wait_for(answering.close(), 60)
    connection = answering._pc.sctp.transport.transport._connection
    assert connection._check_list_done
    with pytest.raises(LinkClosed):
        await answering.wait_open()


async def test_a_router_is_reminded_of_the_address_it_lent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ice_paths, "MAPPING_SECONDS", 0.02)
    asked = asyncio.Queue[tuple[object, tuple[str, int]]]()

    class Protocol:
        local_candidate = Candidate("1", 1, "udp", 1, "192.0.2.1", 5, "host")

        def send_stun(self, message: object, address: tuple[str, int]) -> None:
            asked.put_nowait((message, address))

    class Relay(Protocol):
        local_candidate = Candidate("2", 1, "udp", 1, "192.0.2.9", 5, "relay")

        def send_stun(self, message: object, address: tuple[str, int]) -> None:
            raise AssertionError("the relay needs no reminder")

    class Connection:
        _protocols = (Protocol(), Relay())
        _nominated: dict[int, object]
        stun_server = ("127.0.0.1", 3478)

    connection = Connection()
    connection._nominated = {}
    keeping = asyncio.create_task(ice_paths.keep_mapped(connection))
    for _ in range(2):
        message, address = await asyncio.wait_for(asked.get(), 60)
        assert address == ("127.0.0.1", 3478)
        assert message.message_method is aioice.stun.Method.BINDING  # type: ignore[attr-defined]
    connection._nominated = {1: object()}
    await asyncio.wait_for(keeping, 60)
