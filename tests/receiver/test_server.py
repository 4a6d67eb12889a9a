"""Several calls at a time in one process."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from call_examples import FPS as CAMERA_FPS
from call_examples import ColourEngine, make_basis, outgoing_half, picture, read_clip

from receiver import __main__ as receiver_main
from receiver import server
from receiver.output.recorder import RecordError
from receiver.receiving import Place
from receiver.server import Receiver
from receiver.settings import ReceiverContext, ReceiverSettings
from receiver.upscale import Bicubic
from shared.call import loop as calls
from shared.call.loop import Silence, run_call
from shared.call.report import StatusLine
from shared.models.batching import Batcher
from shared.signalling.direct import join
from shared.signalling.hello import BASE, Hello
from shared.signalling.offer_answer import SignallingError
from shared.transport.link import LinkClosed
from shared.transport.webrtc import BadDescription, Peer

HELLO = Hello("compact", "0123456789abcdef", "sender", "camera", CAMERA_FPS, 4, 64)


class Texts(StatusLine):
    """Keeps what would be printed."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.shown: list[str] = []

    def show(self, text: str, now: float) -> None:
        self.shown.append(text)

    def say(self, text: str) -> None:
        self.said.append(text)


class Caller:
    """A sender that turns its head from side to side until it is told to stop."""

    def __init__(self, green: int) -> None:
        self._green, self._ended = green, asyncio.Event()
        self._half = outgoing_half()
        self._peer = Peer()
        self._tasks: list[asyncio.Task[Any]] = []
        self.theirs: Hello | None = None

    async def call(self, url: str) -> None:
        """Raises SignallingError if it is refused."""
        self.theirs, answer = await join(url, HELLO, self._peer.create_offer)
        await self._peer.accept_answer(answer)
        await self._peer.wait_open()
        self._tasks = [
            asyncio.create_task(self._film()), asyncio.create_task(run_call(self._peer, self._half, self._ended))
        ]  # fmt: skip

    async def end(self) -> None:
        """Says goodbye."""
        self._ended.set()
        if self._tasks:
            await self._tasks[1]
        await self.leave()

    async def leave(self) -> None:
        """Without a word."""
        await self._peer.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _film(self) -> None:
        loop = asyncio.get_running_loop()
        start, n = loop.time(), 0
        while True:
            job = self._half.push(self._half.analyse(picture(n % 40, self._green)), start + n / CAMERA_FPS, loop.time())
            if job is not None:
                self._half.done(job.perform(), 0.0)
            n += 1
            await asyncio.sleep(max(0.0, start + n / CAMERA_FPS - loop.time()))


class Session:
    """A running receiver."""

    def __init__(
        self, work: asyncio.Task[dict[str, Any]], status: Texts, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.work, self.status, self.folder, self._capsys = work, status, folder, capsys
        self._printed = ""

    async def link(self, number: int) -> str:
        """The join link printed as the `number`th: each is good for one call."""
        links: list[str] = []

        def there() -> bool:
            self._printed += self._capsys.readouterr().out
            links[:] = [line.split()[-1] for line in self._printed.splitlines() if line.startswith("join with")]
            return len(links) >= number

        await self.until(there)
        return links[number - 1]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                assert not self.work.done(), self.work
                await asyncio.sleep(0.01)

    def shown(self, name: str) -> bool:
        """Whether frames of a call are being shown."""
        texts = self.status.shown[-1].split(" || ") if self.status.shown else []
        return any(each.startswith(name) and float(each.removeprefix(name).split()[0]) > 0 for each in texts)


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """Starts receivers with the colour engine."""
    monkeypatch.setattr(server, "wire_hash", lambda engine: HELLO.engine_hash)

    @asynccontextmanager
    async def start(calls: int, keep: bool = False, base: bool = True) -> AsyncIterator[Session]:
        settings = ReceiverSettings(
            "127.0.0.1", 0, out=tmp_path / "o.mp4", report=tmp_path / "r.json", calls=calls, keep=keep
        )
        engine = Batcher(ColourEngine()) if calls > 1 else ColourEngine()
        status = Texts()
        context = ReceiverContext(engine, make_basis(), Bicubic(), base=base)
        work = asyncio.create_task(Receiver(settings, context, status).run())
        try:
            yield Session(work, status, tmp_path, capsys)
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    return start


@pytest.mark.parametrize("base", [True, False])
async def test_a_base_layer_is_announced_and_reported_where_it_is_taken(listening: Any, base: bool) -> None:
    async with listening(calls=1, base=base) as session:
        caller = Caller(50)
        await caller.call(await session.link(1))
        await session.until(lambda: session.shown(""))
        await caller.end()
        report = await asyncio.wait_for(session.work, 30)
    assert caller.theirs is not None
    assert caller.theirs.capabilities.get(BASE) == (1 if base else None)
    assert report.get("base_bytes") == (0 if base else None)


def test_the_option_turns_it_off() -> None:
    assert receiver_main.parse([]).receiving.base
    assert not receiver_main.parse(["--no-base"]).receiving.base


async def test_two_calls_at_a_time_and_the_end_of_one_is_not_the_others(listening: Any) -> None:
    async with listening(calls=2) as session:
        one, two, three = Caller(50), Caller(150), Caller(250)
        await one.call(await session.link(1))
        await two.call(await session.link(2))
        await session.until(lambda: session.shown("call 1:") and session.shown("call 2:"))
        with pytest.raises(SignallingError, match="in 2 calls already, and takes no more at a time"):
            await three.call(await session.link(3))
        await three.leave()

        await one.end()
        await session.until(lambda: any("call 1: the call is over" in text for text in session.status.said))
        figures = json.loads((session.folder / "r-1.json").read_text())
        seen = len(session.status.shown)
        await session.until(lambda: len(session.status.shown) > seen + 5)
        assert session.shown("call 2:") and not session.shown("call 1:")

        await two.end()
        report = await asyncio.wait_for(session.work, 30)
        assert report == json.loads((session.folder / "r-2.json").read_text())
    assert not (session.folder / "o.mp4").exists() and not (session.folder / "r.json").exists()
    assert report["frames_shown"] > figures["frames_shown"] > 0
    for number, green in ((1, 50), (2, 150)):  # each has its own person
        frames, _ = read_clip(session.folder / f"o-{number}.mp4")
        assert abs(float(frames[-1][..., 1].mean()) - green) < 10


async def test_a_place_is_free_again_after_a_call_and_a_broken_call_leaves_the_other(
    listening: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "Silence", functools.partial(Silence, dead_after=5.0))  # until it is given up
    async with listening(calls=2) as session:
        one, two, three = Caller(50), Caller(150), Caller(250)
        await one.call(await session.link(1))
        await two.call(await session.link(2))
        await session.until(lambda: session.shown("call 1:") and session.shown("call 2:"))
        await two.leave()
        await session.until(lambda: any(text.startswith("call 2: the call ended") for text in session.status.said))
        await three.call(await session.link(3))
        await session.until(lambda: session.shown("call 1:") and session.shown("call 3:"))
        await one.end()
        await session.until(lambda: not session.shown("call 1:"))
        await three.leave()
        with pytest.raises(LinkClosed):
            await asyncio.wait_for(session.work, 30)


async def test_one_call_at_a_time_keeps_its_names_and_refuses_a_second(listening: Any) -> None:
    async with listening(calls=1, keep=True) as session:
        one, two = Caller(50), Caller(150)
        await one.call(await session.link(1))
        await session.until(lambda: session.shown(""))
        with pytest.raises(SignallingError, match="in a call already"):
            await two.call(await session.link(2))
        await two.leave()
        await one.end()
        await session.until(lambda: "waiting for the next call" in session.status.said)
        assert not session.work.done()
    assert json.loads((session.folder / "r.json").read_text())["ended"].startswith("the other side ended the call")
    assert len(read_clip(session.folder / "o.mp4")[0]) > 0


async def test_the_window_shows_one_call_at_a_time_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    windows: dict[str, tuple[bool, asyncio.Event]] = {}

    class Talk:
        def __init__(
            self, context: object, link: object, hello: object, place: Place, say: Callable[[str], None], own: object
        ) -> None:
            self.over = asyncio.Event()
            windows[status.said[-1]] = place.window, self.over

    async def talk(link: object, parts: list[Talk], *_: object, **__: object) -> dict[str, Any]:
        await parts[0].over.wait()
        return {}

    class Line:
        async def wait_open(self) -> None:
            pass

        async def close(self) -> None:
            pass

    status = Texts()
    monkeypatch.setattr(server, "Receiving", Talk)
    monkeypatch.setattr(server, "run_directions", talk)
    receiver = Receiver(ReceiverSettings(window=True, calls=2), None, status)  # type: ignore[arg-type]

    async def begin(name: str) -> asyncio.Task[Any]:
        call = asyncio.create_task(receiver._serve(Line(), HELLO, 1, name))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        return call

    first, second = await begin("1: "), await begin("2: ")
    assert [shown for shown, _ in windows.values()] == [True, False]
    windows["2: connected; receiving 25 fps"][1].set()
    await second
    third = await begin("3: ")
    assert not windows["3: connected; receiving 25 fps"][0]
    windows["1: connected; receiving 25 fps"][1].set()
    await first
    fourth = await begin("4: ")
    assert windows["4: connected; receiving 25 fps"][0]
    for _, over in windows.values():
        over.set()
    await asyncio.gather(third, fourth)


def test_the_command_line_takes_several_calls(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["--calls", "3", "--keep", "--out", str(tmp_path / "o.mp4"), "--backend", "torch"]
    settings = receiver_main.parse(arguments).receiving
    assert (settings.calls, settings.keep, settings.backend) == (3, True, "torch")
    with pytest.raises(SystemExit):
        receiver_main.parse(["--calls", "0"])
    assert "--calls must be at least 1" in capsys.readouterr().err


class Devices:
    """What this side sends: a camera that may be slow to open."""

    hello = replace(HELLO, role="sender")

    def __init__(self) -> None:
        self.closed = 0

    async def close(self) -> None:
        self.closed += 1


async def no_call(monkeypatch: pytest.MonkeyPatch, opening: Callable[[], Awaitable[Any]]) -> Texts:
    """What is said where a caller who wants both ways sends a description that is none."""
    status, peers = Texts(), list[Devices]()

    class Connection(Devices):
        def __init__(self, *_: object, **__: object) -> None:
            super().__init__()
            peers.append(self)

        async def accept_offer(self, sdp: str) -> str:
            await asyncio.sleep(0.1)
            raise BadDescription("the offer is none")

    monkeypatch.setattr(server, "wire_hash", lambda engine: HELLO.engine_hash)
    monkeypatch.setattr(server, "Peer", Connection)
    context = ReceiverContext(ColourEngine(), make_basis(), Bicubic())
    receiver = Receiver(ReceiverSettings(), context, status, send_back=opening)
    with pytest.raises(ValueError, match="the offer is none"):
        await asyncio.wait_for(receiver._answer(replace(HELLO, role="both"), "sdp"), 60)
    assert [each.closed for each in peers] == [1]
    return status


async def test_a_caller_who_does_not_come_leaves_no_camera_open(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = Devices()

    async def opening() -> Devices:
        return devices

    assert (await no_call(monkeypatch, opening)).said == []
    assert devices.closed == 1


async def test_a_caller_does_not_wait_for_a_camera_that_does_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_OPEN_SECONDS", 0.01)
    cancelled: list[bool] = []

    async def opening() -> Devices:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)
        raise AssertionError

    said = (await no_call(monkeypatch, opening)).said
    assert said == ["sending nothing: camera and microphone could not be opened within 0.01 s"]
    assert cancelled == [True]


async def test_a_call_that_fails_gives_everything_back_whatever_else_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []

    class Back:
        hello = HELLO

        def part(self, *_: object) -> None:
            raise RecordError("there is no room")

        async def close(self) -> None:
            closed.append("camera")
            raise OSError("it does not answer")

    class Line:
        async def wait_open(self) -> None:
            pass

        async def close(self) -> None:
            closed.append("connection")

    receiver = Receiver(ReceiverSettings(window=True, calls=2), None, Texts())  # type: ignore[arg-type]
    with pytest.raises(OSError, match="it does not answer"):
        await receiver._serve(Line(), HELLO, 1, "", Back())  # type: ignore[arg-type]
    assert closed == ["camera", "connection"]
    assert receiver._place(2).window  # it is free again
