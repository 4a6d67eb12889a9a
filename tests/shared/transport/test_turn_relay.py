"""A call that may only go through a relay: a real coturn."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from aioice import stun

from shared.transport.ice import IceSettings
from shared.transport.link import Channel
from shared.transport.webrtc import Peer

ADDRESS = "127.0.0.1"
START_SECONDS = 60.0


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Whether a STUN server answers at a port of this machine."""
    request = bytes(stun.Message(stun.Method.BINDING, stun.Class.REQUEST))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(0.1)
        probe.connect((ADDRESS, port))
        try:
            probe.send(request)
            return bool(probe.recv(1000))
        except OSError:
            return False


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[IceSettings]:
    program = shutil.which("turnserver")
    if program is None:
        pytest.skip("turnserver is not installed: apt-get install coturn")
    port = free_port()
    options = [
        "-n", "--listening-ip", ADDRESS, "--relay-ip", ADDRESS, "--listening-port", str(port), "--lt-cred-mech",
        "--user", "ann:secret", "--realm", "test", "--allow-loopback-peers", "--cli-password", "unused", "--no-cli",
        "--no-tls", "--no-dtls", "--pidfile", str(tmp_path / "pid"), "--log-file", "stdout", "--simple-log",
        "--userdb", str(tmp_path / "users"),
    ]  # fmt: skip
    with (tmp_path / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(program, *options, cwd=tmp_path, stdout=log, stderr=log)
    try:
        async with asyncio.timeout(START_SECONDS):
            while not answers(port):
                if process.returncode is not None:
                    pytest.skip(f"turnserver does not start here: {(tmp_path / 'log').read_text()[-300:]}")
                await asyncio.sleep(0.05)
        yield IceSettings.parse(turn=f"turn:ann:secret@{ADDRESS}:{port}", relay_only=True)
    except TimeoutError:
        pytest.skip(f"turnserver does not answer here within {START_SECONDS:g} s")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_bytes_go_through_the_relay_and_nowhere_else(relay: IceSettings) -> None:
    a, b = Peer(relay), Peer(relay)
    try:
        offer = await a.create_offer()
        answer = await b.accept_offer(offer)
        for sdp in (offer, answer):
            candidates = [line for line in sdp.splitlines() if line.startswith("a=candidate:")]
            assert candidates and all(" typ relay" in line for line in candidates)
        await a.accept_answer(answer)
        await asyncio.gather(a.wait_open(), b.wait_open())

        arrived = asyncio.Queue[tuple[Channel, bytes]]()
        for peer in (a, b):
            peer.on_message(lambda channel, data: arrived.put_nowait((channel, data)))
        for n, channel in enumerate(Channel):
            a.send(channel, bytes([n]) * 500)
            b.send(channel, bytes([n]) * 500)
        got = [await asyncio.wait_for(arrived.get(), 60) for _ in range(2 * len(Channel))]
        assert sorted(got) == sorted(2 * [(channel, bytes([n]) * 500) for n, channel in enumerate(Channel)])
        assert a.wire().sent.size > 1500 and b.wire().received.size > 1500
    finally:
        await asyncio.gather(a.close(), b.close())


async def test_a_wrong_password_leaves_no_path_and_is_said(
    relay: IceSettings, caplog: pytest.LogCaptureFixture
) -> None:
    assert relay.turn is not None
    peer = Peer(replace(relay, turn=replace(relay.turn, password="wrong")))
    try:
        assert "a=candidate:" not in await peer.create_offer()
    finally:
        await peer.close()
    assert "the TURN server gave no relay: check its address, user and password" in caplog.text


async def test_without_a_relay_nothing_of_this_machine_is_told() -> None:
    peer = Peer(IceSettings(relay_only=True))
    try:
        offer = await peer.create_offer()
    finally:
        await peer.close()
    assert "a=candidate:" not in offer and "127.0.0.1" not in offer
