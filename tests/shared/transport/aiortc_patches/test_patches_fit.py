"""Whether aiortc and aioice still have what the changes to their private state rely on, and which change does not fit.

With another version than the changes were written for, the first test fails and lists what to look through. Once all
others pass and the calls of `tests/test_whole_call.py` do, write it into `WRITTEN_FOR` and pyproject.toml.
"""

from __future__ import annotations

import asyncio
import inspect
import tomllib
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from aioice import ice, stun, turn
from aiortc import RTCConfiguration, RTCPeerConnection, rtcsctptransport

from shared.transport.aiortc_patches.private_state import WRITTEN_FOR


class Reliance(NamedTuple):
    """Something private that a change touches."""

    change: str
    """The module of `shared.transport.aiortc_patches` and the function in it."""
    thing: str
    """A key of `things`."""
    name: str
    parameters: str | None = None
    """Names of what it is called with, separated by blanks; None for what is no function."""
    waited_for: bool = False
    """Whether it is a coroutine function."""


RELIANCES = (
    Reliance("private_state.ice_connection", "sctp", "transport"),
    Reliance("private_state.ice_connection", "dtls", "transport"),
    Reliance("private_state.ice_connection", "ice transport", "_connection"),
    Reliance("byte_counting.outbound_bytes", "sctp", "_outbound_queue"),
    Reliance("byte_counting.outbound_bytes", "data chunk", "user_data"),
    Reliance("ice_paths.allow_loopback", "connection", "get_component_candidates", "component addresses timeout", True),
    Reliance("consent.extend_consent", "connection", "query_consent", "", True),
    Reliance("consent.extend_consent", "connection", "build_request", "pair nominate"),
    Reliance("consent.extend_consent", "connection", "remote_password"),
    Reliance("consent.extend_consent", "connection", "_nominated"),
    Reliance("consent.extend_consent", "connection", "_query_consent_task"),
    Reliance("consent.extend_consent", "connection", "close", "", True),
    Reliance("consent.extend_consent", "pair", "protocol"),
    Reliance("consent.extend_consent", "pair", "remote_addr"),
    Reliance("consent.extend_consent", "socket", "transactions"),
    Reliance("consent.extend_consent", "socket", "send_stun", "message addr"),
    Reliance("consent.extend_consent", "transaction", "response_received", "message addr"),
    Reliance("byte_counting.count_datagrams", "connection", "_protocols"),
    Reliance("byte_counting.count_datagrams", "socket", "datagram_received", "data addr"),
    Reliance("byte_counting.count_datagrams", "relayed", "_TurnTransport__inner_protocol"),
    Reliance("byte_counting.count_datagrams", "relay by UDP", "_send", "data"),
    Reliance("byte_counting.count_datagrams", "relay by UDP", "datagram_received", "data addr"),
    Reliance("byte_counting.count_datagrams", "relay by TCP", "_send", "data"),
    Reliance("byte_counting.count_datagrams", "relay by TCP", "datagram_received", "data addr"),
    Reliance("byte_counting.count_chunks", "dtls", "_send_data", "data", True),
    Reliance("byte_counting.count_chunks", "sctp", "_handle_data", "data", True),
    Reliance("short_records.shorten_records", "dtls", "_RTCDtlsTransport__local_certificate"),
    Reliance("short_records.shorten_records", "certificate", "_create_ssl_context", "srtp_profiles"),
    Reliance("sack_bundling.share_packets", "sctp", "_send_chunk", "chunk", True),
    Reliance("sack_bundling.share_packets", "sctp", "_send_sack", "", True),
    Reliance("sack_bundling.share_packets", "sctp", "_sack_needed"),
    Reliance("sack_bundling.share_packets", "sctp", "_sack_misordered"),
    Reliance("sack_bundling.share_packets", "sctp", "_sack_duplicates"),
    Reliance("sack_bundling.share_packets", "chunk notes", "_misses"),
    Reliance("sack_bundling.share_packets", "chunk notes", "_sent_count"),
    Reliance("ice_paths.keep_checking", "connection", "_check_periodic", ""),
    Reliance("ice_paths.keep_checking", "connection", "_check_list"),
    Reliance("ice_paths.keep_checking", "connection", "_check_list_done"),
    Reliance("ice_paths.keep_checking", "connection", "_check_list_maybe_fail", ""),
    Reliance("ice_paths.keep_checking", "connection", "check_state", "pair state"),
    Reliance("ice_paths.keep_checking", "pair", "state"),
    Reliance("ice_paths.keep_checking", "pair", "task"),
    Reliance("ice_paths.keep_mapped", "connection", "stun_server"),
    Reliance("ice_paths.keep_mapped", "connection", "_protocols"),
    Reliance("ice_paths.keep_mapped", "socket notes", "local_candidate"),
)


@pytest_asyncio.fixture
async def things() -> AsyncIterator[dict[str, Any]]:
    """The libraries' own objects, untouched."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pc.createDataChannel("any")
    sctp: Any = pc.sctp
    dtls = sctp.transport
    connection = dtls.transport._connection if hasattr(dtls.transport, "_connection") else ice.Connection(True)
    socket = ice.StunProtocol(connection)
    yield {
        "sctp": sctp,
        "dtls": dtls,
        "ice transport": dtls.transport,
        "certificate": getattr(dtls, "_RTCDtlsTransport__local_certificate", None),
        "connection": connection,
        "socket": socket,
        "socket notes": SimpleNamespace(**inspect.get_annotations(ice.StunProtocol)),
        "pair": ice.CandidatePair(socket, ice.Candidate.from_sdp("1 1 udp 1 192.0.2.1 9 typ host")),
        "transaction": stun.Transaction,
        "relayed": turn.TurnTransport(SimpleNamespace()),  # type: ignore[arg-type]
        "relay by UDP": turn.TurnClientUdpProtocol,
        "relay by TCP": turn.TurnClientTcpProtocol,
        "data chunk": rtcsctptransport.DataChunk(),
        "chunk notes": SimpleNamespace(**inspect.get_annotations(rtcsctptransport.DataChunk)),
    }
    await pc.close()


@pytest.mark.parametrize("library", WRITTEN_FOR)
def test_the_changes_are_written_for_this_version(library: str) -> None:
    found, wanted = version(library), WRITTEN_FOR[library]
    changes = ", ".join(dict.fromkeys(each.change for each in RELIANCES))
    assert found.split(".")[:2] == wanted.split("."), f"{library} {found} is new; look through {changes}"


def test_no_other_version_is_installed_with_pinhole() -> None:
    project = tomllib.loads((Path(__file__).parents[4] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {f"{library}~={wanted}.0" for library, wanted in WRITTEN_FOR.items()} <= set(project["dependencies"])


@pytest.mark.parametrize("reliance", RELIANCES, ids=lambda each: f"{each.change}-{each.name}")
async def test_what_is_changed_is_still_there(reliance: Reliance, things: dict[str, Any]) -> None:
    thing, broken = things[reliance.thing], f"{reliance.change} does not fit {version('aiortc')}, {version('aioice')}"
    assert hasattr(thing, reliance.name), f"{broken}: no {reliance.name}"
    if reliance.parameters is not None:
        found = getattr(thing, reliance.name)
        names = [name for name in inspect.signature(found).parameters if name != "self"]
        assert names == reliance.parameters.split(), f"{broken}: {reliance.name} takes {names}"
        assert inspect.iscoroutinefunction(found) is reliance.waited_for, f"{broken}: {reliance.name}"


async def test_aioice_is_paced_by_what_a_check_returns(things: dict[str, Any]) -> None:
    """`patience.keep_checking` has it return True for as long as paths are to be tried."""
    connection = things["connection"]
    connection._check_list_done = True
    assert connection._check_periodic() is False
    assert {each.name for each in ice.CandidatePair.State} >= {"WAITING", "IN_PROGRESS", "FAILED"}


def test_chunks_are_told_by_their_types() -> None:
    """`economy.share_packets` knows DATA and SACK by number, and counts on three reports of a gap."""
    assert (rtcsctptransport.DataChunk.type, rtcsctptransport.SackChunk.type) == (0, 3)
    assert "_misses == 3" in inspect.getsource(rtcsctptransport.RTCSctpTransport)


async def test_a_consent_check_may_stand_in_for_a_transaction(things: dict[str, Any]) -> None:
    """`workarounds.extend_consent` puts checks of its own among aioice's transactions and is told of the answer."""
    socket, heard = things["socket"], asyncio.get_running_loop().create_future()
    request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    stands_in = SimpleNamespace(response_received=lambda message, addr: heard.set_result(message.transaction_id))
    socket.transactions[request.transaction_id] = stands_in
    answer = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, request.transaction_id)
    socket.datagram_received(bytes(answer), ("192.0.2.1", 9))
    assert await asyncio.wait_for(heard, 1) == request.transaction_id
