"""Receivers and senders at a rendezvous server, over real HTTP on this machine."""

from __future__ import annotations

import asyncio
import datetime
import json
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from meeting_examples import RECEIVER, SENDER, accept, offer

from shared.rendezvous import __main__, client
from shared.rendezvous import server as rendezvous_server
from shared.rendezvous.client import RendezvousHost, join_room
from shared.rendezvous.rooms import Limits, room_code
from shared.rendezvous.server import SEALED_LIMIT, VERSION_HEADER, RendezvousServer
from shared.signalling.direct import CannotListen
from shared.signalling.hello import Hello
from shared.signalling.links import RoomLink, parse_link
from shared.signalling.offer_answer import Busy, OnOffer, SignallingError
from shared.signalling.sealing import new_key
from shared.signalling.tokens import AccessTokens
from shared.trust.certificate import certified

HEADERS = {VERSION_HEADER: "1"}


async def never(hello: Hello, sdp: str) -> tuple[Hello, str]:
    raise AssertionError("an offer reached the receiver")


@asynccontextmanager
async def waiting(url: str, on_offer: OnOffer = accept, said: list[str] | None = None) -> AsyncIterator[RendezvousHost]:
    async with RendezvousHost(url, on_offer, (said if said is not None else []).append) as room:
        serving = asyncio.create_task(room.serve())
        try:
            yield room
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)


def server(**options: object) -> RendezvousServer:
    return RendezvousServer("127.0.0.1", 0, **options)  # type: ignore[arg-type]


async def make_offer(link: RoomLink, body: bytes = b"x", headers: dict[str, str] = HEADERS) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{link.server}/r/{link.room}", data=body, headers=headers) as response,
    ):
        return response.status, (await response.json())["error"]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


async def test_hello_and_descriptions_go_through_a_room() -> None:
    async with server() as meeting, waiting(meeting.url) as room:
        assert str(room.link).startswith(f"{meeting.url}/r/")
        for _ in range(2):
            link = parse_link(str(room.link))
            assert isinstance(link, RoomLink)
            assert await join_room(link, SENDER, offer) == (RECEIVER, "the answer")


async def test_the_server_sees_neither_key_nor_words(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []
    ask = rendezvous_server._Host.ask

    async def noted(self: rendezvous_server._Host, sealed: bytes) -> bytes:
        answer = await ask(self, sealed)
        seen.extend((sealed, answer))
        return answer

    monkeypatch.setattr(rendezvous_server._Host, "ask", noted)
    async with server() as meeting, waiting(meeting.url) as room:
        await join_room(room.link, SENDER, offer)
        assert len(seen) == 2
        for data in seen:
            assert not any(word in data for word in (b"compact", b"the offer", b"the answer", room.link.key))


async def test_rooms_do_not_mix() -> None:
    async def other(hello: Hello, sdp: str) -> tuple[Hello, str]:
        return RECEIVER, "another answer"

    async with server() as meeting, waiting(meeting.url) as one, waiting(meeting.url, other) as two:
        assert one.link.room != two.link.room and one.link.key != two.link.key
        joined = await asyncio.gather(*(join_room(room.link, SENDER, offer) for room in (one, two, one)))
        assert [answer for _, answer in joined] == ["the answer", "another answer", "the answer"]


async def test_a_receiver_that_refuses() -> None:
    async def busy(hello: Hello, sdp: str) -> tuple[Hello, str]:
        raise Busy("the receiver is in a call already")

    async with server() as meeting, waiting(meeting.url, busy) as room:
        with pytest.raises(SignallingError, match=r"^the receiver refused: the receiver is in a call already$"):
            await join_room(room.link, SENDER, offer)


async def test_hellos_are_compared() -> None:
    async def vox(hello: Hello, sdp: str) -> tuple[Hello, str]:
        return replace(RECEIVER, engine="vox256"), "the answer"

    async with server() as meeting, waiting(meeting.url, vox) as room:
        with pytest.raises(SignallingError, match="start both with the same --engine"):
            await join_room(room.link, SENDER, offer)


async def test_wrong_room() -> None:
    async with server() as meeting, waiting(meeting.url, never) as room:
        with pytest.raises(SignallingError, match=r"^nobody waits in this room"):
            await join_room(replace(room.link, room=room_code("a guess")), SENDER, offer)


async def test_wrong_key() -> None:
    async with server() as meeting, waiting(meeting.url, never) as room:
        with pytest.raises(SignallingError, match="the key in the link is not the receiver's; copy the whole link"):
            await join_room(replace(room.link, key=new_key()), SENDER, offer)


async def test_guesses_are_stopped() -> None:
    async with server(limits=Limits(misses=10)) as meeting, waiting(meeting.url) as room:
        wrong = replace(room.link, room=room_code("a guess"))
        statuses = [(await make_offer(wrong))[0] for _ in range(12)]
        assert statuses == [404] * 10 + [429] * 2
        with pytest.raises(SignallingError, match="too many wrong links came from this address"):
            await join_room(room.link, SENDER, offer)


async def test_a_flood_is_stopped_by_address() -> None:
    now = 0.0
    async with (
        server(limits=Limits(requests=3), clock=lambda: now, behind_proxy=True) as meeting,
        waiting(meeting.url) as room,
    ):
        ann, ben = ({**HEADERS, "X-Forwarded-For": f"6.6.6.6, {address}"} for address in ("7.7.7.7", "8.8.8.8"))
        statuses = [(await make_offer(replace(room.link, room="x" * 16), headers=ann))[0] for _ in range(4)]
        assert statuses == [404, 404, 404, 429]
        assert (await make_offer(replace(room.link, room="x" * 16), headers=ben))[0] == 404
        now = 60.0
        assert (await make_offer(replace(room.link, room="x" * 16), headers=ann))[0] == 404


async def test_without_a_proxy_nobody_chooses_an_address() -> None:
    async with server(limits=Limits(requests=3)) as meeting:
        link = RoomLink(meeting.url, "", room_code(""), new_key())
        statuses = [(await make_offer(link, headers={**HEADERS, "X-Forwarded-For": f"7.7.7.{n}"}))[0] for n in range(4)]
        assert statuses == [404, 404, 404, 429]


async def test_too_many_rooms_and_callers() -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def slow(hello: Hello, sdp: str) -> tuple[Hello, str]:
        entered.set()
        await release.wait()
        return RECEIVER, "the answer"

    async with (
        server(limits=Limits(rooms_each=1, callers=1)) as meeting,
        waiting(meeting.url, slow) as room,
    ):
        with pytest.raises(SignallingError, match="refused: this address has too many rooms open"):
            async with RendezvousHost(meeting.url, accept, print):
                pass
        first = asyncio.create_task(join_room(room.link, SENDER, offer))
        await entered.wait()
        with pytest.raises(SignallingError, match="too many callers are at the receiver's door"):
            await join_room(room.link, SENDER, offer)
        release.set()
        assert (await first)[1] == "the answer"
        assert (await join_room(room.link, SENDER, offer))[1] == "the answer"


async def test_a_room_expires_and_its_receiver_is_told() -> None:
    now = 0.0
    async with (
        server(limits=Limits(idle=100.0), clock=lambda: now) as meeting,
        RendezvousHost(meeting.url, accept, print) as room,
    ):
        serving = asyncio.create_task(room.serve())
        now = 99.0
        await meeting.sweep()
        assert (await join_room(room.link, SENDER, offer))[1] == "the answer"
        now = 198.0
        await meeting.sweep()
        assert (await join_room(room.link, SENDER, offer))[1] == "the answer"
        now = 298.0
        await meeting.sweep()
        with pytest.raises(SignallingError, match="the room has expired: start the receiver again"):
            await serving
        with pytest.raises(SignallingError, match="nobody waits in this room"):
            await join_room(room.link, SENDER, offer)


async def test_body_too_large() -> None:
    async with server() as meeting, waiting(meeting.url, never) as room:
        status, sentence = await make_offer(room.link, bytes(SEALED_LIMIT + 1))
        assert (status, "larger than" in sentence) == (413, True)


async def test_body_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendezvous_server, "TIME_LIMIT", 0.05)
    async with server() as meeting, waiting(meeting.url, never) as room:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(meeting.url.rpartition(":")[2]))
        head = f"POST /r/{room.link.room} HTTP/1.1\r\nHost: x\r\n{VERSION_HEADER}: 1\r\nContent-Length: 10\r\n\r\nabc"
        writer.write(head.encode())
        assert b" 400 " in await asyncio.wait_for(reader.readline(), 10)
        writer.close()
        await writer.wait_closed()


async def test_the_server_is_restarted_and_the_link_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "RETRY_SECONDS", (0.01,))
    said: list[str] = []
    async with server() as meeting:
        port = int(meeting.url.rpartition(":")[2])
        room = await RendezvousHost(meeting.url, accept, said.append).__aenter__()
        serving = asyncio.create_task(room.serve())
    await until(lambda: any("was lost" in text for text in said))
    with pytest.raises(SignallingError, match=r"cannot reach 127.0.0.1"):
        await join_room(room.link, SENDER, offer)
    async with RendezvousServer("127.0.0.1", port):
        await until(lambda: any("the join link holds" in text for text in said))
        assert (await join_room(room.link, SENDER, offer))[1] == "the answer"
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await room.__aexit__()


async def test_a_receiver_that_comes_back_takes_its_place() -> None:
    async with server() as meeting, waiting(meeting.url, never) as before:
        tokens = AccessTokens(str(before.link).partition("#")[2])
        async with RendezvousHost(meeting.url, accept, print, tokens=tokens, secret=before.secret) as after:
            assert after.link == before.link
            serving = asyncio.create_task(after.serve())
            assert (await join_room(before.link, SENDER, offer))[1] == "the answer"
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)


async def test_the_receiver_has_gone() -> None:
    async with server() as meeting:
        async with waiting(meeting.url) as room:
            pass
        with pytest.raises(SignallingError, match="nobody waits in this room: the receiver has ended"):
            await join_room(room.link, SENDER, offer)


async def test_the_receiver_leaves_while_it_is_asked() -> None:
    asked = asyncio.Event()

    async def slow(hello: Hello, sdp: str) -> tuple[Hello, str]:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with server() as meeting:
        async with waiting(meeting.url, slow) as room:
            joining = asyncio.create_task(join_room(room.link, SENDER, offer))
            await asked.wait()
        with pytest.raises(SignallingError, match="the receiver left while it was asked"):
            await joining


async def test_the_receiver_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendezvous_server, "ANSWER_SECONDS", 0.05)

    async def slow(hello: Hello, sdp: str) -> tuple[Hello, str]:
        await asyncio.Event().wait()
        raise AssertionError

    async with server() as meeting, waiting(meeting.url, slow) as room:
        with pytest.raises(SignallingError, match=r"did not answer within 0\.05 s"):
            await join_room(room.link, SENDER, offer)


async def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(SignallingError, match=r"cannot reach 127.*is the rendezvous server running"):
            await join_room(RoomLink(url, "127.0.0.1", room_code(""), new_key()), SENDER, offer)
        with pytest.raises(SignallingError, match=r"cannot reach 127.*is the rendezvous server running"):
            async with RendezvousHost(url, accept, print):
                pass


@asynccontextmanager
async def stranger(handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    runner = web.ServerRunner(web.Server(handler))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("status", "headers", "body", "sentence"),
    [
        (200, {}, "<html>hi</html>", "not a Pinhole rendezvous server"),
        (404, {}, '{"error": "the wrong place"}', "not a Pinhole rendezvous server"),
        (302, {"Location": "http://127.0.0.1/"}, "", "not a Pinhole rendezvous server"),
        (426, {VERSION_HEADER: "2"}, "{}", "speaks version 2, this side 1: update the older"),
        (200, HEADERS, "x" * (SEALED_LIMIT + 1), "the answer cannot be read"),
        (500, HEADERS, "[1]", "refused the request"),
        (503, HEADERS, json.dumps({"error": "red \x1b[31m" + "long " * 200}), r"^red  \[31m.{,300}$"),
    ],
)
async def test_answers_of_strangers(status: int, headers: dict[str, str], body: str, sentence: str) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, text=body, headers=headers)

    async with stranger(handler) as url:
        with pytest.raises(SignallingError, match=sentence):
            await join_room(RoomLink(url, "here:1", room_code(""), new_key()), SENDER, offer)
        if status not in (302, 503):  # a WebSocket's redirect is followed
            with pytest.raises(SignallingError, match=r"not a Pinhole|speaks version 2|refused the request"):
                async with RendezvousHost(url, accept, print):
                    pass


@pytest.mark.parametrize("greeting", ["[]", "{}", '{"room": "another"}', "[" * 5000, ""])
async def test_greetings_of_strangers(greeting: str) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        await websocket.send_str(greeting)
        await websocket.close()
        return websocket

    async with stranger(handler) as url:
        with pytest.raises(SignallingError, match="not a Pinhole rendezvous server"):
            async with RendezvousHost(url, accept, print):
                pass


async def test_a_side_of_another_version_is_told() -> None:
    async with server() as meeting, waiting(meeting.url, never) as room:
        for headers in ({}, {VERSION_HEADER: "2"}):
            status, sentence = await make_offer(room.link, headers=headers)
            assert (status, "update the older" in sentence) == (426, True)


async def test_garbage_from_a_receiver_harms_nobody() -> None:
    async with server() as meeting, waiting(meeting.url) as room, aiohttp.ClientSession() as session:
        headers = HEADERS | {"Authorization": "Bearer 0123456789abcdef"}
        async with session.ws_connect(f"{meeting.url}/open", headers=headers) as bad:
            assert json.loads((await bad.receive()).data)["room"] == room_code("0123456789abcdef")
            for data in (b"", b"abc", bytes(4), b"\xff" * 3000):
                await bad.send_bytes(data)
            await bad.send_str("{}")
            assert (await join_room(room.link, SENDER, offer))[1] == "the answer"
            await bad.send_bytes(bytes(rendezvous_server.MESSAGE_LIMIT + 1))
            assert (await bad.receive()).type is aiohttp.WSMsgType.CLOSE
        assert (await join_room(room.link, SENDER, offer))[1] == "the answer"


async def test_rooms_are_opened_with_secrets() -> None:
    async with server() as meeting, aiohttp.ClientSession() as session:
        for secret in ("", "Bearer short", "Basic 0123456789abcdef", "Bearer " + "x" * 65):
            async with session.get(f"{meeting.url}/open", headers=HEADERS | {"Authorization": secret}) as response:
                assert response.status == 400


async def test_a_browser_is_told_what_a_link_is_for() -> None:
    async with server() as meeting, aiohttp.ClientSession() as session:
        for path in ("/", "/r/" + room_code("")):
            async with session.get(meeting.url + path) as response:
                assert "python -m sender --peer LINK" in await response.text()
        async with session.get(meeting.url + "/elsewhere") as response:
            assert response.status == 404


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    pem, secret = folder / "c.pem", folder / "k.pem"
    pem.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return pem, secret


async def test_https(certificate: tuple[Path, Path]) -> None:
    async with server(tls=certified(*certificate)) as meeting:
        assert meeting.url.startswith("https://")
        trusting = ssl.create_default_context(cafile=str(certificate[0]))
        url = meeting.url.replace("127.0.0.1", "localhost")
        async with aiohttp.ClientSession() as session, session.get(url, ssl=trusting) as response:
            assert response.status == 200
        link = RoomLink(url, "localhost:1", room_code(""), new_key())
        with pytest.raises(SignallingError, match=r"certificate of localhost:1 is not trusted.*--ca"):
            await join_room(link, SENDER, offer)
        with pytest.raises(SignallingError, match="is not trusted"):
            async with RendezvousHost(url, accept, print):
                pass


async def test_https_asked_of_a_plain_server() -> None:
    async with server() as meeting:
        link = RoomLink(meeting.url.replace("http:", "https:"), "here:1", room_code(""), new_key())
        with pytest.raises(SignallingError, match="does not speak HTTPS"):
            await join_room(link, SENDER, offer)


def test_certificates_that_are_none(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no certificate and its private key"):
        certified(certificate[1], certificate[1])
    with pytest.raises(OSError, match=r"cannot read .*No such file"):
        certified(tmp_path / "none", certificate[1])


async def test_port_in_use() -> None:
    async with server() as meeting:
        port = int(meeting.url.rpartition(":")[2])
        with pytest.raises(CannotListen, match=f"port {port} is in use"):
            await __main__.serve(__main__.parse(["--host", "127.0.0.1", "--port", str(port)]))


@pytest.mark.parametrize("arguments", [["--certificate", "c.pem"], ["--key", "k.pem"], ["--port", "70000"]])
def test_options_that_cannot_be(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        __main__.parse(arguments)
    assert "error: " in capsys.readouterr().err


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        __main__.parse(["--help"])
    shown = capsys.readouterr().out
    for word in ("python -m receiver --rendezvous https://HOST", "--certificate", "--behind-proxy", "cannot read"):
        assert word in shown


def test_the_server_needs_no_networks() -> None:
    script = "import sys, shared.rendezvous.server; sys.exit('torch' in sys.modules or 'aiortc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


async def test_a_link_through_a_room_holds_for_a_day() -> None:
    now = 1e9
    tokens = AccessTokens(clock=lambda: now)
    async with server() as meeting, RendezvousHost(meeting.url, accept, print, tokens=tokens) as room:
        serving, link = asyncio.create_task(room.serve()), room.link
        now += 24 * 3600 - 1
        assert (await join_room(link, SENDER, offer))[1] == "the answer"
        now += 1
        with pytest.raises(SignallingError, match="or has expired: ask for a new link"):
            await join_room(link, SENDER, offer)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def test_a_server_that_says_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "OPEN_SECONDS", 0.2)
    left = asyncio.Event()

    async def silent(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for _ in socket:
            pass
        left.set()
        return socket

    app = web.Application()
    app.router.add_get("/open", silent)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    session = aiohttp.ClientSession()
    try:
        room = RendezvousHost(f"http://127.0.0.1:{runner.addresses[0][1]}", accept, print)
        with pytest.raises(SignallingError, match="did not answer within"):
            await room._open(session)
        await asyncio.wait_for(left.wait(), 60)  # although the session goes on
    finally:
        await session.close()
        await runner.cleanup()
