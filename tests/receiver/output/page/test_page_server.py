"""The page's server over real HTTP on the loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import cv2
import numpy as np
import pytest
from aiohttp import WSMsgType
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from call_examples import picture, psnr
from page_examples import INDICATORS, ShownCall, packets
from reaction_examples import Own
from speech_examples import speech

from receiver.output.page.server import BODY_LIMIT, FILES, HEADERS, PageServer
from receiver.output.page.view import AV1_KBPS, WebView
from receiver.output.page.viewer_session import FULL, MISUSED
from shared.models.engine import Picture
from shared.reactions import LABELS
from shared.signalling.direct import CannotListen
from shared.transport.viewers import Viewers

WITHIN = 30.0
LINK = "https://meet.example.org/r/q5Bf3xUe0aVtP9cD#Jr2mXo8HnK4sW1zYqL7bTg"
PICTURES = [picture(yaw) for yaw in (-20, -10, 0, 10, 20)]


class Page(PageServer):
    """Says what it shows."""

    def __init__(self, view: WebView) -> None:
        super().__init__("127.0.0.1", 0, view)
        self.view = view


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with Page(WebView(Viewers(most=2))) as server:
        yield server


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WITHIN)) as session:
        yield session


async def receive(socket: aiohttp.ClientWebSocketResponse, wanted: str) -> Any:
    """The next message that has this key."""
    async with asyncio.timeout(WITHIN):
        async for message in socket:
            if wanted in (data := json.loads(message.data)):
                return data[wanted]
    raise AssertionError(f"closed with {socket.close_code} before any {wanted}")


async def closed(socket: aiohttp.ClientWebSocketResponse) -> int | None:
    async with asyncio.timeout(WITHIN):
        while (await socket.receive()).type not in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING):
            pass
    return socket.close_code


async def none_left(view: WebView) -> None:
    async with asyncio.timeout(WITHIN):
        while len(view.viewers):
            await asyncio.sleep(0.01)


async def test_every_file_is_served_with_strict_headers(page: Page, client: aiohttp.ClientSession) -> None:
    for name, (_, kind) in FILES.items():
        async with client.get(page.url + name) as response:
            assert (response.status, response.content_type) == (200, kind)
            assert len(await response.read()) > 100
            assert response.headers.items() >= HEADERS.items()
            assert "Access-Control-Allow-Origin" not in response.headers
    policy = HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy


async def test_the_page_names_nothing_outside(page: Page, client: aiohttp.ClientSession) -> None:
    for name in FILES:
        text = await (await client.get(page.url + name)).text()
        assert "https://" not in text
        assert text.count("http://") == text.count("http://www.w3.org/2000/svg")  # a name, not an address
    html = await (await client.get(page.url)).text()
    assert "style=" not in html and "onclick=" not in html and "<style" not in html


async def test_without_its_last_slash_the_address_works_too(page: Page, client: aiohttp.ClientSession) -> None:
    async with client.get(page.url.rstrip("/")) as response:
        assert response.status == 200 and str(response.url) == page.url


@pytest.mark.parametrize("path", ["/watch/wrong/", "/watch/wrong", "/watch/wrong/page.js", "/watch/wrong/live",
                                  "/watch/wrong/source/1-1.jpg", "/watch/wrong/join.svg"])  # fmt: skip
async def test_a_wrong_token_is_refused(page: Page, client: aiohttp.ClientSession, path: str) -> None:
    page.view.link = LINK
    async with client.get(f"http://127.0.0.1:{page.port}{path}") as response:
        assert response.status == 403
        assert page.token not in await response.text() and LINK not in await response.text()
        assert response.headers.items() >= HEADERS.items()


@pytest.mark.parametrize("path", ["..%2f..%2fREADME.md", "%2e%2e/server.py", "server.py", "page.html", "nothing",
                                  "source/1-1.jpg", "source/..%2f1.jpg", "/etc/passwd"])  # fmt: skip
async def test_nothing_else_can_be_had(page: Page, path: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", page.port)  # a client would tidy the path
    writer.write(f"GET /watch/{page.token}/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), WITHIN)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 404 ")


async def test_who_guesses_is_stopped(page: Page, client: aiohttp.ClientSession) -> None:
    statuses = [(await client.get(f"http://127.0.0.1:{page.port}/watch/guess{n}/")).status for n in range(12)]
    assert statuses == [403] * 10 + [429] * 2


async def test_other_sites_cannot_open_the_socket(page: Page, client: aiohttp.ClientSession) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await client.ws_connect(page.url + "live", origin="http://elsewhere.example")
    assert refused.value.status == 403
    await client.ws_connect(page.url + "live", origin=f"http://127.0.0.1:{page.port}")


async def test_a_port_in_use_is_said(page: Page) -> None:
    with pytest.raises(CannotListen, match="in use"):
        await PageServer("127.0.0.1", page.port, WebView(Viewers())).start()


async def test_indicators_follow_the_call(page: Page, client: aiohttp.ClientSession) -> None:
    view, socket = page.view, await client.ws_connect(page.url + "live")
    nobody = {"call": None, "ended": "", "viewers": 1, "note": "", "link": ""}
    assert await receive(socket, "state") == nobody
    async with ShownCall(view, PICTURES, "file") as call:
        while (state := await receive(socket, "state"))["call"] is None:
            pass
        shown = state["call"]
        assert (shown["quality"], shown["rung"], shown["face"]) == ("good", "motion only", True)
        assert (shown["fps"], shown["full_fps"], shown["delay_ms"]) == (24.0, 25, 398)
        assert (shown["wire_in_kbps"], shown["wire_back_kbps"], shown["payload_kbps"]) == (6.9, 2.7, 2.9)
        assert (shown["sources"], shown["camera"]) == (1, False)
        assert shown["mark"] == "reconstructed from a file, not a camera"
        assert shown["wire_bytes"] > 0
        assert shown["av1_bytes"] == pytest.approx(AV1_KBPS * 125 * shown["seconds"], rel=0.1, abs=300)
        call.indicators = INDICATORS.__class__(**vars(INDICATORS) | {"quality": "stalled", "delay_ms": None})
        while (state := await receive(socket, "state"))["call"]["quality"] == "good":
            pass
        assert state["call"]["delay_ms"] is None
    while (state := await receive(socket, "state"))["call"] is not None:
        pass
    assert state["ended"] == call.reason
    await socket.close()
    await none_left(view)


async def test_the_join_link_is_there_while_nobody_calls(page: Page, client: aiohttp.ClientSession) -> None:
    view, socket = page.view, await client.ws_connect(page.url + "live")
    assert (await client.get(page.url + "join.svg")).status == 404
    view.link = LINK
    while (await receive(socket, "state"))["link"] != LINK:
        pass
    async with client.get(page.url + "join.svg") as response:
        assert (response.status, response.content_type) == (200, "image/svg+xml")
        assert response.headers.items() >= HEADERS.items()
        assert b"<svg" in await response.read()
    async with ShownCall(view, PICTURES):
        while (state := await receive(socket, "state"))["call"] is None:
            pass
        assert state["link"] == ""
        assert (await client.get(page.url + "join.svg")).status == 404


async def test_sound_comes_to_who_wants_it(page: Page, client: aiohttp.ClientSession) -> None:
    view = page.view
    socket, other = await client.ws_connect(page.url + "live"), await client.ws_connect(page.url + "live")
    async with ShownCall(view, PICTURES, sound=packets(speech(1.2, pauses=False))):
        while (state := await receive(socket, "state"))["call"] is None:
            pass
        assert state["call"]["sound"]
        assert view.viewers.sound.version == 0
        await socket.send_json({"hearing": True})
        async with asyncio.timeout(WITHIN):
            while np.abs((await view.viewers.sound.next(view.viewers.sound.version))[1]).max() < 1000:
                pass
        assert view.viewers.hearing
        await socket.send_json({"hearing": False})
        async with asyncio.timeout(WITHIN):
            while view.viewers.hearing:
                await asyncio.sleep(0.01)
        await other.send_json({"hearing": True})
        await other.close()  # who leaves hears nothing
        async with asyncio.timeout(WITHIN):
            while len(view.viewers) > 1:
                await asyncio.sleep(0.01)
        assert not view.viewers.hearing


async def test_who_watches_reacts_where_this_side_sends(page: Page, client: aiohttp.ClientSession) -> None:
    view, socket, own = page.view, await client.ws_connect(page.url + "live"), Own()
    await socket.send_json({"react": 2})  # there is no call yet
    async with ShownCall(view, PICTURES):
        await socket.send_json({"react": 2})  # this one only comes
        while (state := await receive(socket, "state"))["call"] is None:
            pass
        assert (state["call"]["reactions"], state["call"]["reaction"]) == ([], "")
    async with ShownCall(view, PICTURES, own=own):
        while (state := await receive(socket, "state"))["call"] is None or not state["call"]["reactions"]:
            pass
        assert state["call"]["reactions"] == list(LABELS)
        await socket.send_json({"react": 6})
        while (state := await receive(socket, "state"))["call"]["reaction"] == "":
            pass
        assert (own.numbers, state["call"]["reaction"]) == ([6], "your reaction: fear")


async def test_how_the_picture_is_made_comes_to_who_asks(page: Page, client: aiohttp.ClientSession) -> None:
    view, socket = page.view, await client.ws_connect(page.url + "live")
    source = PICTURES[2].copy()
    source[16:48, 16:48] = 200
    async with ShownCall(view, PICTURES) as call:
        await socket.send_json({"making": True})
        first = await receive(socket, "sources")
        assert [each["id"] for each in first] == [1]
        call.hold(2, source)
        both = await receive(socket, "sources")
        assert [each["id"] for each in both] == [1, 2]
        points = await receive(socket, "driving")
        assert len(points) == len(both[0]["points"]) and all(-1 <= x <= 1 and -1 <= y <= 1 for x, y in points)
        response = await client.get(page.url + both[1]["url"])
        assert response.content_type == "image/jpeg"
        decoded = cv2.imdecode(np.frombuffer(await response.read(), np.uint8), cv2.IMREAD_COLOR)
        assert psnr(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), source) > 25
        assert (await client.get(page.url + "source/1-3.jpg")).status == 404
        assert (await client.get(page.url + "source/2-1.jpg")).status == 404
    assert (await client.get(page.url + both[1]["url"])).status == 404  # nothing is left of a call
    await socket.close()


@pytest.mark.parametrize("message", ["nonsense", "[]", "{}", '{"offer": 1}', '{"offer": "v=0"}', '{"making": "yes"}',
                                     '{"hearing": 1}', '{"react": 0}', '{"react": 7}', '{"react": true}',
                                     '{"react": "1"}',
                                     "[" * 20_000])  # fmt: skip
async def test_what_the_page_would_not_send_ends_the_socket(
    page: Page, client: aiohttp.ClientSession, message: str
) -> None:
    socket = await client.ws_connect(page.url + "live")
    await socket.send_str(message)
    assert await receive(socket, "error")
    assert await closed(socket) == MISUSED
    await none_left(page.view)


async def test_a_message_that_is_too_large_ends_the_socket(page: Page, client: aiohttp.ClientSession) -> None:
    socket = await client.ws_connect(page.url + "live")
    await socket.send_str(json.dumps({"offer": "x" * BODY_LIMIT}))
    assert await closed(socket) == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
    await none_left(page.view)


async def test_one_viewer_too_many_is_told(page: Page, client: aiohttp.ClientSession) -> None:
    watching = [await client.ws_connect(page.url + "live") for _ in range(2)]
    late = await client.ws_connect(page.url + "live")
    assert "2 people are watching already" in await receive(late, "error")
    assert await closed(late) == FULL
    await watching[0].close()
    while len(page.view.viewers) > 1:
        await asyncio.sleep(0.01)
    again = await client.ws_connect(page.url + "live")
    assert (await receive(again, "state"))["viewers"] == 2


async def test_the_offer_is_answered_and_frames_arrive(
    page: Page, client: aiohttp.ClientSession, person: list[Picture]
) -> None:
    socket = await client.ws_connect(page.url + "live")
    browser = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    track = asyncio.get_running_loop().create_future()
    browser.on("track", track.set_result)
    browser.addTransceiver("video", direction="recvonly")
    await browser.setLocalDescription(await browser.createOffer())
    await socket.send_json({"offer": browser.localDescription.sdp})
    await browser.setRemoteDescription(RTCSessionDescription(await receive(socket, "answer"), "answer"))
    async with ShownCall(page.view, person), asyncio.timeout(WITHIN):
        while True:
            frame = (await (await track).recv()).to_ndarray(format="rgb24")
            if max(psnr(frame, sent) for sent in person) > 28:
                break
    socket._response.close()  # the browser dies
    await none_left(page.view)
    await browser.close()


async def test_the_end_of_the_receiver_ends_all_sockets(client: aiohttp.ClientSession) -> None:
    view = WebView(Viewers())
    async with PageServer("127.0.0.1", 0, view) as page:
        socket = await client.ws_connect(page.url + "live")
        await receive(socket, "state")
        ending = asyncio.ensure_future(closed(socket))
    assert await ending == aiohttp.WSCloseCode.GOING_AWAY
    assert len(view.viewers) == 0
