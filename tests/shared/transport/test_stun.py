from __future__ import annotations

import asyncio
import socket

import pytest
from aioice import stun
from hypothesis import given
from hypothesis import strategies as st

from shared.transport.ice import REQUEST_LIMIT, binding_answer, seen_as

FROM = ("203.0.113.9", 40_000)
REQUEST = bytes(stun.Message(stun.Method.BINDING, stun.Class.REQUEST, b"twelve bytes"))


@pytest.mark.parametrize(
    ("address", "seen"),
    [
        (("203.0.113.9", 40_000), "203.0.113.9"),
        (("2001:db8::1", 40_000), "2001:db8::1"),
        (("fe80::1%eth0", 40_000), "fe80::1"),
        (("::ffff:203.0.113.9", 40_000), "203.0.113.9"),
    ],
)
def test_who_asks_is_told_its_address(address: tuple[str, int], seen: str) -> None:
    answer = binding_answer(REQUEST, address)
    assert answer is not None
    message = stun.parse_message(answer)
    assert (message.message_method, message.message_class) == (stun.Method.BINDING, stun.Class.RESPONSE)
    assert message.transaction_id == b"twelve bytes"
    assert message.attributes == {"XOR-MAPPED-ADDRESS": (seen, 40_000)}
    assert len(answer) == (44 if ":" in seen else 32)  # what the module says of amplification


@pytest.mark.parametrize("attribute", [("SOFTWARE", "a program"), ("PRIORITY", 5), ("USERNAME", "odd")])
def test_what_comes_along_does_not_matter(attribute: tuple[str, object]) -> None:
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, attributes=dict([attribute]))
    assert binding_answer(bytes(message), FROM) is not None
    message.add_fingerprint()
    assert binding_answer(bytes(message), FROM) is not None


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        REQUEST[:19],
        REQUEST + b"1234",  # longer than it says
        REQUEST[:4] + b"0000" + REQUEST[8:],  # no magic cookie
        bytes(
            stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, b"twelve bytes")
        ),  # two servers must not talk for ever
        bytes(stun.Message(stun.Method.BINDING, stun.Class.INDICATION, b"twelve bytes")),
        bytes(stun.Message(stun.Method.ALLOCATE, stun.Class.REQUEST, b"twelve bytes")),
        bytes(stun.Message(stun.Method.BINDING, stun.Class.REQUEST, b"twelve bytes", attributes={"CHANGE-REQUEST": 6})),
        REQUEST[:2] + b"\x00\x04" + REQUEST[4:] + b"\x80\x22\x00\x08",  # an attribute without its end
        REQUEST[:2] + (REQUEST_LIMIT).to_bytes(2, "big") + REQUEST[4:] + b"\x80\x22\x04\xfc" + bytes(REQUEST_LIMIT - 4),
    ],
)
def test_anything_else_is_not_answered(datagram: bytes) -> None:
    assert binding_answer(datagram, FROM) is None


@given(st.binary(max_size=200), st.booleans())
def test_noise_is_taken_and_never_answered_by_more_than_an_address(noise: bytes, headed: bool) -> None:
    datagram = REQUEST[:2] + len(noise).to_bytes(2, "big") + REQUEST[4:] + noise if headed else noise
    answer = binding_answer(datagram, FROM)
    assert answer is None or len(answer) == 32 <= 1.6 * len(datagram)


async def test_asking_a_server_that_loses_the_first_request() -> None:
    loop, heard = asyncio.get_running_loop(), []

    class Server(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
            self.transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            heard.append(addr)
            if len(heard) > 1:
                self.transport.sendto(b"nonsense", addr)
                self.transport.sendto(
                    bytes(stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, b"twelve bytes")), addr
                )  # another's
                self.transport.sendto(binding_answer(data, addr) or b"", addr)

    transport, _ = await loop.create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0))
    try:
        assert await seen_as("127.0.0.1", transport.get_extra_info("sockname")[1]) == heard[0]
    finally:
        transport.close()


async def test_asking_where_nobody_answers() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        assert await seen_as("127.0.0.1", port) is None
    assert await seen_as("127.0.0.1", port) is None  # refused
    assert await seen_as("no.such.host.invalid", 3478) is None
