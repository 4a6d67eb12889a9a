"""The rendezvous server's STUN server, and those who find it."""

from __future__ import annotations

import argparse
import asyncio
import socket

import pytest
from aiohttp import web
from aioice import stun

from shared.rendezvous import __main__
from shared.rendezvous.rooms import room_code
from shared.rendezvous.server import RendezvousServer
from shared.rendezvous.stun_server import StunServer, with_stun_of, with_stun_of_link
from shared.signalling.direct import CannotListen
from shared.signalling.links import BY_HAND, RoomLink
from shared.transport.ice import IceSettings, seen_as
from shared.transport.webrtc import Peer

REQUEST = bytes(stun.Message(stun.Method.BINDING, stun.Class.REQUEST))


async def test_it_answers_over_udp() -> None:
    async with StunServer("127.0.0.1", 0) as server:
        seen = await seen_as("127.0.0.1", server.port)
        assert seen is not None and seen[0] == "127.0.0.1"
        peer = Peer(IceSettings(f"stun:127.0.0.1:{server.port}"))  # aioice understands it too
        try:
            assert "a=candidate" in await peer.create_offer()
        finally:
            await peer.close()


def test_nobody_is_answered_often() -> None:
    server = StunServer("127.0.0.1", 0, each_a_minute=3, all_a_second=5)
    answered = [server.answer(REQUEST, ("192.0.2.1", 1000 + n), 0.0) is not None for n in range(5)]
    assert answered == [True] * 3 + [False] * 2  # whatever its port
    assert server.answer(REQUEST, ("2001:db8::1", 1), 0.0) and server.answer(REQUEST, ("2001:db8::2", 1), 0.1)
    assert server.answer(REQUEST, ("192.0.2.2", 1), 0.2) is None  # five in this second
    assert server.answer(REQUEST, ("192.0.2.2", 1), 1.0)
    assert server.answer(REQUEST, ("192.0.2.1", 1), 59.0) is None
    assert server.answer(REQUEST, ("192.0.2.1", 1), 60.0)
    assert server.answer(b"noise", ("192.0.2.9", 1), 61.0) is None


async def test_a_port_in_use_is_said() -> None:
    async with StunServer("127.0.0.1", 0) as server:
        with pytest.raises(CannotListen, match=f"UDP port {server.port} is in use"):
            await StunServer("127.0.0.1", server.port).__aenter__()


@pytest.mark.parametrize(
    ("options", "address"),
    [
        ([], ("0.0.0.0", 8767)),
        (["--host", "192.0.2.1", "--port", "80"], ("192.0.2.1", 80)),
        (["--host", "127.0.0.1", "--behind-proxy"], ("0.0.0.0", 8767)),
        (["--stun", "192.0.2.1:3478"], ("192.0.2.1", 3478)),
        (["--no-stun"], None),
    ],
)
async def test_where_it_listens(
    options: list[str], address: tuple[str, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []

    async def note(self: StunServer) -> StunServer:
        asked.append((self._host, self._port))
        return self

    monkeypatch.setattr(StunServer, "__aenter__", note)
    args = __main__.parse(options)
    async with __main__.stun_beside(args, args.port) as port:
        assert asked == ([] if address is None else [address])
        assert port == (None if address is None else address[1])


@pytest.mark.parametrize(
    "options", [["--stun", "3478"], ["--stun", "here:0"], ["--stun", "here:99999"], ["--stun", "a:1", "--no-stun"]]
)
def test_impossible_places_are_refused(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        __main__.parse(options)
    assert "is not HOST:PORT" in (said := capsys.readouterr().err) or "not allowed with" in said


async def test_who_names_no_stun_server_takes_the_rendezvous_servers() -> None:
    async with RendezvousServer("127.0.0.1", 0) as server, StunServer("127.0.0.1", 0) as stun_server:
        link = str(RoomLink(server.url, "", room_code("a"), bytes(16)))
        own, none = IceSettings("stun:stun.example:3478"), IceSettings()
        relayed = IceSettings.parse(turn="turn:ann:s@relay.example", relay_only=True)
        assert await with_stun_of(server.url, none) == none  # it has none
        server.stun_port = stun_server.port
        found = IceSettings(f"stun:127.0.0.1:{stun_server.port}")
        assert await with_stun_of(server.url, none) == await with_stun_of_link(link, none) == found
        assert await with_stun_of(server.url, own) == own
        assert await with_stun_of(server.url, relayed) == relayed  # nobody learns of this machine but the relay
        for peer in (BY_HAND, f"{server.url}/join/token", "nonsense"):
            assert await with_stun_of_link(peer, none) == none


async def test_one_that_does_not_answer_is_left_out_and_said(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        async with RendezvousServer("127.0.0.1", 0) as server:
            server.stun_port = silent.getsockname()[1]
            assert await with_stun_of(server.url, IceSettings()) == IceSettings()
    assert f"(UDP port {server.stun_port}) does not answer" in caplog.text


@pytest.mark.parametrize("named", ["", "nonsense", "0", "70000", "-1", "٣"])
async def test_a_server_that_names_nonsense_helps_nobody(named: str) -> None:
    async def about(request: web.Request) -> web.Response:
        return web.Response(headers={"Pinhole-Rendezvous": "1", "Pinhole-Stun": named})

    app = web.Application()
    app.router.add_get("/", about)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        assert await with_stun_of(f"http://127.0.0.1:{runner.addresses[0][1]}", IceSettings()) == IceSettings()
    finally:
        await runner.cleanup()


async def test_a_server_that_is_not_there_is_no_hindrance() -> None:
    async with RendezvousServer("127.0.0.1", 0) as server:
        url = server.url
    assert await with_stun_of(url, IceSettings()) == IceSettings()
    assert await with_stun_of("nonsense", IceSettings()) == IceSettings()


async def test_the_programs_say_where_they_listen(capsys: pytest.CaptureFixture[str]) -> None:
    serving = asyncio.ensure_future(__main__.serve(__main__.parse(["--host", "127.0.0.1", "--port", "0"])))
    said = ""
    async with asyncio.timeout(60):
        while "receivers wait with" not in said:
            await asyncio.sleep(0.01)
            said += capsys.readouterr().out
    port = int(said.partition("UDP port ")[2].partition(":")[0])
    url = said.partition("--rendezvous ")[2].split()[0]
    assert url.endswith(f":{port}")
    assert await with_stun_of(url, IceSettings()) == IceSettings(f"stun:127.0.0.1:{port}")
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


def test_help_says_that_a_rendezvous_server_is_enough(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        __main__.parse(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "let UDP through to the same port" in shown and "--turn" in shown
    assert isinstance(__main__.parse([]), argparse.Namespace)
