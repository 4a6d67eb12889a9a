"""Calls of `benchmarks.endurance` that lose a side or the network, and go on: real processes, real signalling."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import aioice.ice

from benchmarks.endurance_rows import Process, outcome
from sender.call import SenderSettings
from sender.capture import Capture
from sender.encoder import CallEncoder
from sender.pump import Pump
from shared.call.loop import TooManyErrors, follow, run_call
from shared.signalling.hello import Hello
from shared.signalling.reconnect import calling
from shared.transport.aiortc_patches.private_state import ice_connection
from shared.transport.ice import IceSettings
from shared.transport.link import LinkClosed
from shared.transport.resuming import ResumingLink
from shared.transport.webrtc import Peer

_ROOT = Path(__file__).resolve().parents[1]
_BEFORE_SECONDS = 6.0
"""Of pictures before something dies."""
_AFTER_SECONDS = 10.0
"""Of pictures after they are back."""
_BACK_SECONDS = 120.0
"""Until then pictures must be back; most of it is for a process that starts on a busy machine."""
_HERE, _ELSEWHERE = "127.0.0.1", "127.0.0.2"


@dataclass(frozen=True)
class Death:
    """What happens to a call."""

    name: str
    dies: Literal["receiver", "sender", "network", "address"]
    gone: float
    """Seconds until it is back."""

    @property
    def seconds(self) -> float:
        """About how long the call takes."""
        return _BEFORE_SECONDS + self.gone + _AFTER_SECONDS + 10


def deaths(quick: bool) -> list[Death]:
    """All that may happen; with `quick` the network is gone for a shorter time."""
    gone = 20.0 if quick else 60.0
    return [
        Death("the receiver killed and restarted", "receiver", 1.0),
        Death("the sender killed and restarted", "sender", 1.0),
        Death(f"the network gone for {gone:g} s", "network", gone),
        Death(f"gone for {gone:g} s, back elsewhere", "address", gone),
    ]


class Deaths:
    """One such call. The receiver is a process of its own."""

    def __init__(
        self, death: Death, settings: SenderSettings, hello: Hello, folder: Path,
        outgoing: Callable[[], CallEncoder], frames: Callable[[float], Capture],
    ) -> None:  # fmt: skip
        """`outgoing` and `frames` give what a sender in this process needs; `folder` is empty, and may be filled."""
        self._death, self._settings, self._hello, self._folder = death, settings, hello, folder
        self._outgoing, self._frames = outgoing, frames
        self._network = _Network()
        self._receiver: asyncio.subprocess.Process | None = None
        self._back = 0.0

    async def run(self) -> dict[str, Any]:
        """Its row of the report. Raises OSError if a process does not start."""
        before, why, again = Process.now(), "", None
        wire = (0, 0)
        over = began = time.monotonic()
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._end_receiver)
            url = await self._start_receiver()
            stack.push_async_callback(self._network.close)
            url = await self._network.open(url)
            try:
                if self._death.dies == "sender":
                    began, over = await self._with_processes(url)
                else:
                    async with self._sending(url) as (link, half, calling_task):
                        began = await self._until_shown(1, calling_task)
                        await asyncio.sleep(_BEFORE_SECONDS)
                        sources = half.counts.sources_sent
                        await self._die(link)
                        await self._until_shown_after(self._back, calling_task)
                        again = half.counts.sources_sent - sources
                        await asyncio.sleep(_AFTER_SECONDS)
                        over, size = time.monotonic(), link.wire()
                        wire = size.sent.size, size.received.size
            except (LinkClosed, TooManyErrors, TimeoutError) as error:
                why, over = str(error) or f"no picture within {_BACK_SECONDS:g} s", time.monotonic()
        if self._death.dies == "sender" and (report := self._folder / "r.json").exists():
            figures = json.loads(report.read_text())
            wire = figures["wire_bytes_in"], figures["wire_bytes_out"]
        shown = self._shown()
        back = next((at - self._back for at in shown if at > self._back), None)
        row = outcome(self._death.name, shown, began, over, self._hello.fps, wire, (before, Process.now()), why)
        return row | {"back_after_s": None if back is None else round(back, 2), "sources_sent_to_resume": again}

    async def _die(self, link: ResumingLink) -> None:
        death = self._death
        if death.dies == "receiver":
            assert self._receiver is not None
            self._receiver.kill()
            await self._receiver.wait()
            await asyncio.sleep(death.gone)
            self._back = time.monotonic()
            await self._start_receiver()
            return
        replug = await self._network.cut(link)
        await asyncio.sleep(death.gone)
        self._back = time.monotonic()
        if death.dies == "network":
            replug()
        await self._network.restore(_ELSEWHERE if death.dies == "address" else _HERE)

    async def _with_processes(self, url: str) -> tuple[float, float]:
        """The sender is a process, too: when its pictures began and ended."""
        settings = self._settings
        command = [
            "sender", "--peer", url, "--source", settings.source, "--framing", "none", "--engine", settings.engine,
            "--profile", settings.profile, "--no-audio", "--state", str(self._folder / "sender.state"),
        ]  # fmt: skip
        first = await _start(command)
        try:
            began = await self._until_shown(1)
            await asyncio.sleep(_BEFORE_SECONDS)
        finally:
            first.kill()
            await first.communicate()
        await asyncio.sleep(self._death.gone)
        self._back = time.monotonic()
        second = await _start(command)
        try:
            await self._until_shown_after(self._back)
            await asyncio.sleep(_AFTER_SECONDS)
            over = time.monotonic()
            second.send_signal(signal.SIGINT)
            await asyncio.wait_for(second.communicate(), 30)
        finally:
            with contextlib.suppress(ProcessLookupError):
                second.kill()
        return began, over

    @asynccontextmanager
    async def _sending(self, url: str) -> AsyncIterator[tuple[ResumingLink, CallEncoder, asyncio.Task[str]]]:
        """A sender in this process."""
        half, ended = self._outgoing(), asyncio.Event()
        async with calling(url, self._hello, IceSettings(), say=lambda text: None) as (link, _):
            follow(link, half)
            playing = asyncio.ensure_future(Pump(half, self._frames(3600.0), None).run())
            task = asyncio.create_task(run_call(link, half, ended))
            try:
                yield link, half, task
                ended.set()
                await task
            finally:
                for each in (playing, task):
                    each.cancel()
                await asyncio.gather(playing, task, return_exceptions=True)

    async def _start_receiver(self) -> str:
        self._receiver = process = await _start([
            "benchmarks.endurance_receiver", "--engine", self._settings.engine, "--state",
            str(self._folder / "receiver.state"), "--log", str(self._folder / "shown"), "--report",
            str(self._folder / "r.json"),
        ])  # fmt: skip
        if self._back:
            return ""
        assert process.stdout is not None and process.stderr is not None
        async for line in process.stdout:
            if line.startswith(b"join with"):
                return line.split()[-1].decode()
        raise OSError(f"the receiver did not start: {(await process.stderr.read()).decode().strip()}")

    async def _end_receiver(self) -> None:
        process = self._receiver
        if process is not None and process.returncode is None:
            try:
                await asyncio.wait_for(process.communicate(), 10)
            except TimeoutError:
                process.kill()
                await process.wait()

    def _shown(self) -> list[float]:
        log = self._folder / "shown"
        return [float(line) for line in log.read_text().split("\n")[:-1]] if log.exists() else []

    async def _until_shown(self, count: int, *tasks: asyncio.Task[str]) -> float:
        """Waits for so many frames; when the last one was. Raises TimeoutError, or what ended the call."""
        async with asyncio.timeout(_BACK_SECONDS):
            while len(shown := self._shown()) < count:
                await _look(*tasks)
        return shown[count - 1]

    async def _until_shown_after(self, time: float, *tasks: asyncio.Task[str]) -> None:
        async with asyncio.timeout(_BACK_SECONDS):
            while not (shown := self._shown()) or shown[-1] <= time:
                await _look(*tasks)


class _Network:
    """What lies between a sender in this process and the receiver: a way for the signalling, and for the call."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._port = self._behind = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._addresses = aioice.ice.get_host_addresses

    async def open(self, url: str) -> str:
        """The join URL as the sender is to have it."""
        place = url.split("/")[2]
        self._behind = int(place.rpartition(":")[2])
        await self.restore(_HERE)
        return url.replace(place, f"{_HERE}:{self._port}")

    async def cut(self, link: ResumingLink) -> Callable[[], None]:
        """Nothing passes any more; what comes back mends the connection that there was."""
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        assert isinstance(link.carrier, Peer)
        return _unplug(link.carrier)

    async def restore(self, address: str) -> None:
        """The network is there, and this side has this address in it."""
        aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: [address]
        self._server = await asyncio.start_server(self._carry, _HERE, self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Takes it all away."""
        aioice.ice.get_host_addresses = self._addresses
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            there, onwards = await asyncio.open_connection(_HERE, self._behind)
            await asyncio.gather(_pipe(reader, onwards), _pipe(there, writer))
        except OSError:  # nobody is there, or not any more: so it is for who asked
            pass
        finally:
            self._tasks.discard(task)
            writer.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(4096):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


def _unplug(peer: Peer) -> Callable[[], None]:
    """Nothing leaves a peer, and nothing comes in, until what comes back is called."""
    connection = ice_connection(peer._pc)
    assert connection is not None
    undo: list[Callable[[], None]] = []
    for protocol in connection._protocols:
        transport, receive, send = protocol.transport, protocol.datagram_received, protocol.transport.sendto

        def plug(
            protocol: Any = protocol, transport: Any = transport, receive: Any = receive, send: Any = send
        ) -> None:
            protocol.datagram_received, transport.sendto = receive, send

        undo.append(plug)
        protocol.datagram_received = lambda data, addr: None
        transport.sendto = lambda data, addr=None: None

    def plug_all() -> None:
        for plug in undo:
            plug()

    return plug_all


async def _start(command: list[str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", *command, cwd=_ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


async def _look(*tasks: asyncio.Task[str]) -> None:
    for task in tasks:
        if task.done():
            raise LinkClosed(f"the call ended: {task.result()}")
    await asyncio.sleep(0.05)
