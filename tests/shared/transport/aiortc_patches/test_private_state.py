from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aioice import ice, stun

from shared.transport.aiortc_patches import byte_counting, consent, ice_paths, private_state
from shared.transport.metering import WireMeter
from shared.transport.webrtc import Peer

KEY = "password"


class FarEnd:
    """A STUN socket whose far end answers every request late, with the right key or a wrong one."""

    def __init__(self, delay: float, key: str) -> None:
        self.transactions: dict[bytes, Any] = {}
        self.asked = asyncio.Semaphore(0)
        self._delay = delay
        self._key = key

    def send_stun(self, request: stun.Message, addr: tuple[str, int]) -> None:
        self.asked.release()
        answer = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, request.transaction_id)
        answer.add_message_integrity(self._key.encode())
        asyncio.get_running_loop().call_later(self._delay, self._answer, answer)

    def _answer(self, answer: stun.Message) -> None:
        if answer.transaction_id in self.transactions:
            self.transactions[answer.transaction_id].response_received(answer, ("", 0))


class FakeConnection:
    def __init__(self, far_end: FarEnd) -> None:
        self.remote_password = KEY
        self._nominated = {1: SimpleNamespace(protocol=far_end, remote_addr=("", 0))}
        self._query_consent_task: Any = None
        self.closed = False

    async def query_consent(self) -> None:
        raise AssertionError("aioice's own consent checks ran")

    def build_request(self, pair: Any, nominate: bool) -> stun.Message:
        return stun.Message(stun.Method.BINDING, stun.Class.REQUEST)

    async def close(self) -> None:
        self.closed = True


def watched(far_end: FarEnd, silence: float, monkeypatch: pytest.MonkeyPatch) -> tuple[FakeConnection, list[str]]:
    monkeypatch.setattr(consent, "CONSENT_INTERVAL", 0.003)
    monkeypatch.setattr(consent, "CONSENT_SILENCE", silence)
    connection, expired = FakeConnection(far_end), list[str]()
    consent.extend_consent(connection, lambda: expired.append("expired"))
    return connection, expired


async def test_answers_much_later_than_the_next_check_still_count(monkeypatch: pytest.MonkeyPatch) -> None:
    far_end = FarEnd(delay=0.03, key=KEY)
    connection, expired = watched(far_end, 0.3, monkeypatch)
    task = asyncio.create_task(connection.query_consent())
    for _ in range(200):  # at least 0.48 s
        await asyncio.wait_for(far_end.asked.acquire(), 10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert expired == []
    assert not connection.closed
    assert len(far_end.transactions) < 200  # answered checks are forgotten


async def test_unanswered_checks_expire_and_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consent, "_CHECKS_KEPT", 8)
    far_end = FarEnd(delay=0.001, key="not the password")
    connection, expired = watched(far_end, 0.15, monkeypatch)
    await asyncio.wait_for(connection.query_consent(), 10)
    assert expired == ["expired"]
    assert connection.closed
    assert len(far_end.transactions) == 8


def test_silence_allowed_is_longer_than_what_a_session_bears() -> None:
    assert consent.CONSENT_SILENCE > 90
    assert consent._CHECKS_KEPT * consent.CONSENT_INTERVAL > consent.CONSENT_SILENCE


@pytest.mark.parametrize(
    "change",
    [
        ice_paths.allow_loopback,
        lambda thing: consent.extend_consent(thing, lambda: None),
        lambda thing: byte_counting.count_datagrams(thing, WireMeter()),
    ],
)
def test_what_is_gone_is_left_alone_and_logged(change: Any, caplog: pytest.LogCaptureFixture) -> None:
    stranger = SimpleNamespace()
    change(stranger)
    assert vars(stranger) == {}
    assert "has no SimpleNamespace." in caplog.text


async def test_call_goes_on_without_the_inner_connection(caplog: pytest.LogCaptureFixture) -> None:
    stranger: Any = SimpleNamespace(sctp=SimpleNamespace(transport=SimpleNamespace(transport=SimpleNamespace())))
    assert private_state.ice_connection(stranger) is None
    assert "_connection" in caplog.text


async def test_changes_stay_with_their_connection() -> None:
    peer = Peer()
    try:
        connection = peer._pc.sctp.transport.transport._connection
        assert {"query_consent", "get_component_candidates"} <= set(vars(connection))
        untouched = type(connection)(ice_controlling=True)
        assert not {"query_consent", "get_component_candidates"} & set(vars(untouched))
        assert type(untouched._protocols) is list
        assert (stun.RETRY_RTO, ice.CONSENT_FAILURES) == (0.5, 6)
    finally:
        await peer.close()


class FakeTransport:
    def __init__(self, peername: tuple[str, int] | None = None) -> None:
        self.sent: list[bytes] = []
        self._peername = peername

    def sendto(self, data: bytes, addr: Any = None) -> None:
        self.sent.append(data)

    def get_extra_info(self, name: str) -> Any:
        return self._peername


@pytest.mark.parametrize(("host", "headers"), [("192.0.2.1", 28), ("2001:db8::1", 48)])
def test_datagrams_are_counted_with_their_headers(host: str, headers: int) -> None:
    meter, transport, received = WireMeter(), FakeTransport(), list[bytes]()
    protocol = SimpleNamespace(
        transport=transport, datagram_received=lambda data, addr: received.append(data), local_candidate=None
    )
    connection: Any = SimpleNamespace(_protocols=[])
    byte_counting.count_datagrams(connection, meter)
    connection._protocols += [protocol]
    protocol.transport.sendto(bytes(10), (host, 1))
    protocol.datagram_received(bytes(5), (host, 1))
    assert connection._protocols == [protocol]
    assert transport.sent == [bytes(10)]
    assert received == [bytes(5)]
    assert meter.snapshot().sent.size == headers + 10
    assert meter.snapshot().received.size == headers + 5


def test_relayed_bytes_are_counted_towards_the_relay() -> None:
    meter, received = WireMeter(), list[bytes]()
    outer, inner_transport = FakeTransport(), FakeTransport(("192.0.2.1", 3478))
    relay = SimpleNamespace(
        transport=inner_transport,
        _send=inner_transport.sendto,
        datagram_received=lambda data, addr: received.append(data),
    )
    outer._TurnTransport__inner_protocol = relay  # type: ignore[attr-defined]
    connection: Any = SimpleNamespace(_protocols=[])
    byte_counting.count_datagrams(connection, meter)
    connection._protocols.append(SimpleNamespace(transport=outer))
    relay._send(bytes(14))
    relay.datagram_received(bytes(9), ("192.0.2.1", 3478))
    assert inner_transport.sent == [bytes(14)]
    assert received == [bytes(9)]
    assert (meter.snapshot().sent.size, meter.snapshot().received.size) == (42, 37)
