"""The page in a real browser: headless Chromium plays what the receiver draws."""

from __future__ import annotations

import asyncio

import aiohttp
import cv2
import numpy as np
import pytest
from call_examples import Program, psnr
from chromium import Chromium, Tab, require_chromium
from page_examples import ShownCall, packets
from reaction_examples import Own
from speech_examples import speech

from receiver.output.page.server import PageServer
from receiver.output.page.view import WebView
from shared.call.exit_status import INTERRUPTED
from shared.models.engine import Picture
from shared.reactions import LABELS
from shared.rendezvous.rooms import room_code
from shared.signalling.links import RoomLink
from shared.transport.viewers import Viewers

SIDE = 64
"""Of the pictures compared."""
START_SECONDS = 180.0
"""For a sender's program to load, call and send a source, on a busy machine."""
PIXELS = f"""(() => {{
  const video = document.getElementById("video"), canvas = document.createElement("canvas");
  if (!video.videoWidth || !document.getElementById("cover").hidden) return null;
  canvas.width = canvas.height = {SIDE};
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, 0, {SIDE}, {SIDE});
  return Array.from(context.getImageData(0, 0, {SIDE}, {SIDE}).data);
}})()"""


LOUD = """(() => {
  if (!window.analyser) {
    const context = new AudioContext();
    window.analyser = context.createAnalyser();
    context.createMediaStreamSource(document.getElementById("video").srcObject).connect(window.analyser);
  }
  const samples = new Float32Array(window.analyser.fftSize);
  window.analyser.getFloatTimeDomainData(samples);
  return Math.max(...samples) > 0.05;
})()"""


def text(name: str) -> str:
    return f"document.getElementById('{name}').textContent"


def small(picture: Picture) -> Picture:
    return np.asarray(cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def nearest(seen: Picture, sent: list[Picture]) -> float:
    """PSNR to the one that is most alike."""
    return max(psnr(seen, small(picture)) for picture in sent)


async def pixels(tab: Tab, within: float = 60.0) -> Picture:
    """(SIDE, SIDE, 3) what the video element shows."""
    return np.array(await tab.until(PIXELS, within), np.uint8).reshape(SIDE, SIDE, 4)[..., :3]


async def moved(tab: Tab, before: Picture, within: float = 60.0) -> Picture:
    """The first picture that differs clearly."""
    async with asyncio.timeout(within):
        while np.abs((now := await pixels(tab)).astype(int) - before).mean() < 1:
            await asyncio.sleep(0.1)
    return now


@pytest.mark.browser
async def test_a_browser_plays_the_call_and_joins_the_next(person: list[Picture]) -> None:
    require_chromium()
    view = WebView(Viewers())
    async with PageServer("127.0.0.1", 0, view) as page, Chromium() as browser:
        tab = await browser.open(page.url)
        await tab.until(f"{text('message')} === 'Waiting for a call…'")
        async with ShownCall(view, person, "file") as call:
            first = await pixels(tab)
            assert nearest(first, person) > 22
            assert nearest(await moved(tab, first), person) > 22
            assert await tab.until(text("fps")) == "24.0 of 25"
            assert await tab.evaluate(text("wire-in")) == "6.9 kbit/s"
            assert await tab.evaluate(text("link")) == "Good link"
            assert await tab.evaluate(text("mark")) == "reconstructed from a file, not a camera"
            assert "kB. AV1 would have taken about" in await tab.evaluate(text("spent"))

            other = await browser.open(page.url)
            assert nearest(await pixels(other), person) > 22
            await other.until(f"{text('viewers')} === '2'")
            assert other.errors == []
            await other.close()
            await tab.until(f"{text('viewers')} === '1'")

            await tab.evaluate("document.getElementById('making').open = true")
            await tab.until("document.querySelector('.source img')?.naturalWidth > 0")
            assert await tab.until("document.querySelectorAll('#motion circle').length") == len(call.canonical)
        await tab.until(f"{text('message')}.startsWith('The call is over')")
        assert not await tab.evaluate("document.getElementById('cover').hidden")
        async with ShownCall(view, person[20:30]):
            assert nearest(await pixels(tab), person[20:30]) > 22
            assert await tab.until(f"{text('mark')} === 'reconstructed'")
        assert tab.errors == []


@pytest.mark.browser
async def test_the_sound_is_heard_after_a_click(person: list[Picture]) -> None:
    require_chromium()
    view = WebView(Viewers())
    async with PageServer("127.0.0.1", 0, view) as page, Chromium() as browser:
        tab = await browser.open(page.url)
        async with ShownCall(view, person):
            await pixels(tab)
            assert await tab.evaluate("document.getElementById('sound').hidden")  # this call has none
        async with ShownCall(view, person, sound=packets(speech(2.0, pauses=False))):
            await tab.until("!document.getElementById('sound').hidden")
            assert await tab.evaluate("document.getElementById('video').muted")
            assert not view.viewers.hearing
            await tab.click("sound")
            await tab.until(f"{text('sound')} === 'Turn sound off'")
            assert not await tab.evaluate("document.getElementById('video').muted")
            await tab.until(LOUD)
            first = await pixels(tab)
            await moved(tab, first)  # the picture goes on
            await tab.press("m")
            await tab.until(f"{text('sound')} === 'Turn sound on' && document.getElementById('video').muted")
            async with asyncio.timeout(60):
                while view.viewers.hearing:
                    await asyncio.sleep(0.01)
        assert tab.errors == []


@pytest.mark.browser
async def test_buttons_and_keys_react_where_this_side_sends(person: list[Picture]) -> None:
    require_chromium()
    view, own = WebView(Viewers()), Own()
    async with PageServer("127.0.0.1", 0, view) as page, Chromium() as browser:
        tab = await browser.open(page.url)
        await tab.resize(320, 640)
        async with ShownCall(view, person):
            await pixels(tab)
            assert await tab.evaluate("document.getElementById('reactions').hidden")
            await tab.press("1")
        async with ShownCall(view, person, own=own):
            await tab.until("!document.getElementById('reactions').hidden")
            buttons = await tab.evaluate(
                "[...document.querySelectorAll('#reactions button')].map((b) => b.textContent)"
            )
            assert buttons == list(LABELS)
            assert await tab.evaluate("document.documentElement.scrollWidth") == 320
            await tab.click("react-3")
            await tab.until(f"{text('reaction')} === 'your reaction: surprise'")
            await tab.press("6")
            await tab.until(f"{text('reaction')} === 'your reaction: fear'")
            assert own.numbers == [3, 6]
        await tab.until("document.getElementById('reactions').hidden")
        assert tab.errors == []


@pytest.mark.browser
@pytest.mark.parametrize(("scheme", "width"), [("light", 1000), ("dark", 320)])
async def test_the_join_link_is_shown_until_somebody_calls(person: list[Picture], scheme: str, width: int) -> None:
    require_chromium()
    view = WebView(Viewers())
    view.link = str(RoomLink("https://meet.example.org", "", room_code("a"), bytes(range(16))))
    async with PageServer("127.0.0.1", 0, view) as page, Chromium() as browser:
        tab = await browser.open(page.url)
        await tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        await tab.resize(width, 800)
        await tab.until("document.getElementById('join-code').naturalWidth > 0")
        assert await tab.evaluate("document.getElementById('join-link').value") == view.link
        assert await tab.evaluate("document.documentElement.scrollWidth") == width
        await tab.evaluate("document.getElementById('join-code').scrollIntoView({ block: 'center' })")
        assert cv2.QRCodeDetector().detectAndDecode(await tab.screenshot())[0] == view.link
        await tab.click("copy")
        await tab.until(f"{text('copied')} === 'Copied.'")
        await tab.call("Browser.grantPermissions", permissions=["clipboardReadWrite"])
        assert await tab.evaluate("navigator.clipboard.readText()") == view.link
        async with ShownCall(view, person):
            await tab.until("document.getElementById('join').hidden")
            assert await tab.evaluate("document.getElementById('join-link').value") == ""
        await tab.until("!document.getElementById('join').hidden")
        view.link = ""  # it does not hold any more
        await tab.until("document.getElementById('join').hidden")
        view.note = "You are sending camera:0."
        await tab.until(f"{text('note')} === 'You are sending camera:0.' && !document.getElementById('note').hidden")
        assert tab.errors == []


@pytest.mark.browser
async def test_a_narrow_screen_has_nothing_beside_it(person: list[Picture]) -> None:
    require_chromium()
    view = WebView(Viewers())
    async with PageServer("127.0.0.1", 0, view) as page, Chromium() as browser:
        tab = await browser.open(page.url)
        await tab.resize(320, 640)
        async with ShownCall(view, person):
            await pixels(tab)
            await tab.evaluate("document.getElementById('making').open = true")
            await tab.until("document.querySelector('.source img')?.naturalWidth > 0")
            assert await tab.evaluate("document.documentElement.scrollWidth") == 320


@pytest.mark.browser
async def test_one_viewer_too_many_and_a_receiver_that_ends_are_told() -> None:
    require_chromium()
    async with Chromium() as browser:
        async with PageServer("127.0.0.1", 0, WebView(Viewers(most=1))) as page:
            tab = await browser.open(page.url)
            await tab.until(f"{text('message')} === 'Waiting for a call…'")
            late = await browser.open(page.url)
            await late.until(f"{text('message')}.includes('1 people are watching already')")
        await tab.until(f"{text('message')}.startsWith('The receiver has ended')")


@pytest.mark.browser
async def test_a_call_between_two_processes_is_seen_in_the_browser(person: list[Picture]) -> None:
    require_chromium()
    loop = asyncio.get_running_loop()
    with Program("receiver", "--listen", "127.0.0.1:0", "--page", "0", "--keep") as receiver:
        url = await loop.run_in_executor(None, receiver.page_url)
        join = await loop.run_in_executor(None, receiver.join_url)
        async with Chromium() as browser:
            tab = await browser.open(url)
            await tab.until(f"{text('message')} === 'Waiting for a call…'")
            assert await tab.until("document.getElementById('join-link').value") == join
            with Program("sender", "--peer", join, "--source", "sample", "--framing", "none") as sender:
                first = await pixels(tab, START_SECONDS)
                assert nearest(first, person) > 18
                await moved(tab, first)
                await tab.until(f"parseFloat({text('wire-in')}) > 1 && parseFloat({text('wire-back')}) > 0.5")
                await tab.until(f"parseFloat({text('fps')}) > 1 && parseFloat({text('delay')}) > 50")
                assert await tab.until(f"parseInt({text('sources')})") >= 1
                assert "sample" in await tab.evaluate(text("mark"))
                sender.signal(2)
                await loop.run_in_executor(None, sender.end)
            await tab.until(f"{text('message')}.startsWith('The call is over')")
            assert tab.errors == []
            async with aiohttp.ClientSession() as client:
                assert (await client.get(url[:-2] + "x/")).status == 403
        receiver.signal(2)
        code, said = await loop.run_in_executor(None, receiver.end)
        assert (code, "Traceback" in said) == (INTERRUPTED, False), said
