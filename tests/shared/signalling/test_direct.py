from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from meeting_examples import RECEIVER, SENDER, accept, offer

from shared.signalling import direct
from shared.signalling.direct import CannotListen, SignallingServer, join
from shared.signalling.hello import Hello, Incompatible
from shared.signalling.offer_answer import BODY_LIMIT, Busy, OnOffer, SignallingError


def server(on_offer: OnOffer = accept) -> SignallingServer:
    return SignallingServer("127.0.0.1", 0, on_offer)


def refusing(error: Exception) -> OnOffer:
    async def on_offer(hello: Hello, sdp: str) -> tuple[Hello, str]:
        raise error

    return on_offer


async def post(url: str, body: bytes) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.post(url, data=body) as response:
        data = await response.json()
        assert set(data) - {"for_good"} == {"error"}
        assert not [name for name in response.headers if name.startswith("Access-Control")]
        return response.status, data["error"]


async def test_hello_and_descriptions_are_exchanged() -> None:
    async with server() as receiving:
        assert receiving.port
        assert receiving.join_url == f"http://127.0.0.1:{receiving.port}/join/{receiving.token}"
        assert await join(receiving.join_url, SENDER, offer) == (RECEIVER, "the answer")
        assert await join(receiving.join_url + "/", SENDER, offer) == (RECEIVER, "the answer")


async def test_join_url_of_a_server_on_all_addresses_names_one() -> None:
    async with SignallingServer("0.0.0.0", 0, accept) as receiving:
        assert "0.0.0.0" not in receiving.join_url
        assert await join(receiving.join_url, SENDER, offer) == (RECEIVER, "the answer")


async def test_wrong_token_then_too_many() -> None:
    async with server() as receiving:
        wrong = receiving.join_url[:-1] + ("A" if receiving.join_url[-1] != "A" else "B")
        with pytest.raises(SignallingError, match="the token is not the receiver's"):
            await join(wrong, SENDER, offer)
        statuses = [(await post(wrong, b""))[0] for _ in range(10)]
        assert statuses == [403] * 9 + [429]
        with pytest.raises(SignallingError, match="too many wrong tokens"):
            await join(receiving.join_url, SENDER, offer)


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (Busy("a call is already running"), 503, "a call is already running"),
        (Incompatible("start both with the same --engine"), 409, "start both"),
        (ValueError("the offer is nonsense"), 400, "the offer is nonsense"),
        (KeyError("secret detail"), 500, "its log says why"),
    ],
)
async def test_refusals(error: Exception, status: int, sentence: str) -> None:
    async with server(refusing(error)) as receiving:
        body = json.dumps({"hello": SENDER.to_dict(), "sdp": "x"}).encode()
        code, text = await post(receiving.join_url, body)
        assert code == status
        assert sentence in text
        assert "secret" not in text
        with pytest.raises(SignallingError, match=f"^the receiver refused: .*{sentence}"):
            await join(receiving.join_url, SENDER, offer)


async def test_second_call_while_the_first_is_answered() -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def slow(hello: Hello, sdp: str) -> tuple[Hello, str]:
        entered.set()
        await release.wait()
        return RECEIVER, "the answer"

    async with server(slow) as receiving:
        first = asyncio.create_task(join(receiving.join_url, SENDER, offer))
        await entered.wait()
        with pytest.raises(SignallingError, match="answering another call"):
            await join(receiving.join_url, SENDER, offer)
        release.set()
        assert (await first)[1] == "the answer"
        assert (await join(receiving.join_url, SENDER, offer))[1] == "the answer"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b"[" * 60000,
        b'{"hello": {}, "sdp": "x"}',
        json.dumps({"hello": SENDER.to_dict()}).encode(),
        json.dumps({"hello": SENDER.to_dict(), "sdp": 5}).encode(),
        b'{"hello": {"engine": ' + b"[" * 500 + b"]" * 500 + b'}, "sdp": "x"}',
    ],
)
async def test_garbage_body(body: bytes) -> None:
    async with server() as receiving:
        status, text = await post(receiving.join_url, body)
        assert status == 400
        assert text


async def test_oversize_body() -> None:
    async with server() as receiving:
        status, text = await post(receiving.join_url, b" " * (BODY_LIMIT + 1))
        assert status == 413
        assert "larger than" in text


async def test_body_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "TIME_LIMIT", 0.05)
    async with server() as receiving:
        reader, writer = await asyncio.open_connection("127.0.0.1", receiving.port)
        writer.write(f"POST /join/{receiving.token} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc".encode())
        assert b" 400 " in await asyncio.wait_for(reader.readline(), 10)
        writer.close()
        await writer.wait_closed()


async def test_port_in_use() -> None:
    async with server() as receiving:
        with pytest.raises(CannotListen, match=f"port {receiving.port} is in use"):
            await SignallingServer("127.0.0.1", receiving.port, accept).start()


@pytest.mark.parametrize("token", ["", "a/b", "é", "x" * 65])
def test_tokens_fit_into_a_url(token: str) -> None:
    with pytest.raises(ValueError, match="a token is"):
        SignallingServer("127.0.0.1", 0, accept, token=token)


def test_tokens_differ() -> None:
    assert server().token != server().token
    assert len(server().token) >= 20


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "http://127.0.0.1:5000/",
        "http://127.0.0.1:5000/join/",
        "http://127.0.0.1:99999/join/abc",
        "ftp://127.0.0.1/join/abc",
        "http://[::1/join/abc",
        "http:///join/abc",
    ],
)
async def test_not_a_pinhole_url(url: str) -> None:
    async def never() -> str:
        raise AssertionError("an offer was made for a URL that cannot work")

    with pytest.raises(SignallingError, match="is not a Pinhole URL"):
        await join(url, SENDER, never)


async def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/join/abc"
        with pytest.raises(SignallingError, match="cannot reach 127"):
            await join(url, SENDER, offer)


@asynccontextmanager
async def stranger(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    runner = web.ServerRunner(web.Server(handler))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/join/abc"
    finally:
        await runner.cleanup()


ANSWER = {"hello": RECEIVER.to_dict(), "sdp": "the answer"}


@pytest.mark.parametrize(
    ("response", "sentence"),
    [
        ((200, "<html>hi</html>"), "not a Pinhole receiver"),
        ((404, "404: Not Found"), "not a Pinhole receiver"),
        ((302, ""), "not a Pinhole receiver"),
        ((200, "[1]"), "not a Pinhole receiver"),
        ((200, "x" * (BODY_LIMIT + 1)), "not a Pinhole receiver"),
        ((200, json.dumps(ANSWER | {"sdp": None})), "cannot be understood"),
        ((200, json.dumps(ANSWER | {"hello": {"version": 1}})), "cannot be understood: [a-z_]+ is None, expected"),
        ((200, json.dumps(ANSWER | {"hello": RECEIVER.to_dict() | {"engine": "vox256"}})), "same --engine"),
        ((503, json.dumps({"error": "red \x1b[31m" + "long " * 200})), r"^the receiver refused: red  \[31m.{,300}$"),
    ],
)
async def test_answers_of_strangers(response: tuple[int, str], sentence: str) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=response[0], text=response[1])

    async with stranger(handler) as url:
        with pytest.raises(SignallingError, match=sentence):
            await join(url, SENDER, offer)


async def test_receiver_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "TIME_LIMIT", 0.1)
    release = asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        await release.wait()
        return web.Response()

    async with stranger(handler) as url:
        with pytest.raises(SignallingError, match=r"did not answer within 0\.1 s"):
            await join(url, SENDER, offer)
        release.set()


async def test_not_even_http() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n")
        await reader.read(100)
        writer.close()

    listener = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        with pytest.raises(SignallingError, match="does not speak HTTP"):
            await join(f"http://127.0.0.1:{port}/join/abc", SENDER, offer)
