"""Parts of a call over one link: how it ends, and what is left of it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from memory_link import memory_pair
from virtual_time import in_virtual_time

from shared.call.directions import Direction, run_directions, status_text
from shared.call.loop import Half, Outgoing, run_call
from shared.transport.link import Channel, LinkClosed


class Quiet:
    """A half that says goodbye and nothing else."""

    def __init__(self) -> None:
        self.peer_bye: str | None = None

    def receive(self, channel: Channel, data: bytes, now: float) -> None:
        self.peer_bye = data.decode()

    def tick(self, now: float, link_queued: int) -> list[Outgoing]:
        return []

    def finish(self, reason: str, now: float) -> list[Outgoing]:
        return [(Channel.CONTROL, reason.encode())]


class Side:
    """A part that does what a test tells it to."""

    def __init__(self, name: str, *, broken_close: bool = False) -> None:
        self.name, self.half, self.over, self.done = name, Quiet(), asyncio.Event(), list[str]()
        self._broken_close = broken_close
        self.failure: Exception | None = None

    async def run(self) -> None:
        await self.over.wait()
        if self.failure is not None:
            raise self.failure

    async def play_out(self) -> None:
        self.done.append("played out")

    def look(self) -> str:
        return f"{self.name} well"

    def brief(self) -> str:
        return f"{self.name} too"

    async def close(self, ended: str) -> None:
        self.done.append(f"closed: {ended}")
        if self._broken_close:
            raise OSError("the disk is full")

    def report(self) -> dict[str, Any]:
        return {"frames": len(self.done)}


def parts(*sides: Side) -> list[Direction]:
    return list(sides)


async def other_side(link: Any, half: Half | None = None) -> str:
    return await run_call(link, half or Quiet(), asyncio.Event())


@pytest.mark.parametrize("which", [0, 1])
@in_virtual_time
async def test_either_part_ends_the_call_and_both_are_closed(tmp_path: Path, which: int) -> None:
    a, b = memory_pair()
    sides = Side("sent"), Side("received")
    peer = asyncio.ensure_future(other_side(b))
    call = asyncio.ensure_future(run_directions(a, parts(*sides), "the receiver", print, tmp_path / "r.json"))
    await asyncio.sleep(0.05)
    sides[which].over.set()
    report = await call
    assert report == {"frames": 2, "received": {"frames": 2}, "ended": "this side ended the call"}
    assert json.loads((tmp_path / "r.json").read_text()) == report
    assert all(side.done == ["played out", "closed: this side ended the call"] for side in sides)
    assert await peer == "the other side ended the call: the end"


@in_virtual_time
async def test_what_goes_wrong_in_a_part_is_raised_once_all_is_closed(tmp_path: Path) -> None:
    a, b = memory_pair()
    one, two = Side("sent", broken_close=True), Side("received")
    one.failure = ValueError("the camera has gone")
    peer = asyncio.ensure_future(other_side(b))
    one.over.set()
    with pytest.raises(ValueError, match="the camera has gone"):
        await run_directions(a, parts(one, two), "the receiver", print, tmp_path / "r.json")
    assert two.done[-1].startswith("closed")
    assert (tmp_path / "r.json").exists()
    await peer


@in_virtual_time
async def test_a_link_that_breaks_leaves_a_report(tmp_path: Path) -> None:
    a, b = memory_pair()
    side = Side("received")
    call = asyncio.ensure_future(run_directions(a, parts(side), "the sender", print, tmp_path / "r.json"))
    await asyncio.sleep(0.05)
    await b.close()
    with pytest.raises(LinkClosed):
        await call
    assert json.loads((tmp_path / "r.json").read_text())["ended"].startswith("the link broke")


@in_virtual_time
async def test_an_interrupted_call_says_goodbye_and_leaves_a_report(tmp_path: Path) -> None:
    a, b = memory_pair()
    side, half = Side("sent"), Quiet()
    peer = asyncio.ensure_future(other_side(b, half))
    call = asyncio.ensure_future(run_directions(a, parts(side), "the receiver", print, tmp_path / "r.json"))
    await asyncio.sleep(0.05)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await peer == "the other side ended the call: interrupted"
    assert json.loads((tmp_path / "r.json").read_text())["ended"] == "interrupted"


def test_the_status_of_both_ways_fits_one_line() -> None:
    assert status_text(parts(Side("sent"))) == "sent well"
    assert status_text(parts(Side("sent"), Side("received"))) == "sent well | received too"


@in_virtual_time
async def test_an_end_that_is_interrupted_is_still_an_end(tmp_path: Path) -> None:
    a, b = memory_pair()
    closing, may_close = asyncio.Event(), asyncio.Event()

    class Slow(Side):
        async def close(self, ended: str) -> None:
            closing.set()
            await may_close.wait()
            await super().close(ended)

    one, two = Slow("sent"), Side("received")
    peer = asyncio.ensure_future(other_side(b))
    one.over.set()
    call = asyncio.ensure_future(run_directions(a, parts(one, two), "the receiver", print, tmp_path / "r.json"))
    await closing.wait()
    call.cancel()
    await asyncio.sleep(0.02)
    may_close.set()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert one.done[-1] == two.done[-1] == "closed: this side ended the call"
    assert (tmp_path / "r.json").exists()
    await peer


@in_virtual_time
async def test_parts_are_closed_although_the_call_could_not_begin(tmp_path: Path) -> None:
    one, two = Side("sent"), Side("sent")  # which make no pair
    with pytest.raises(KeyError):
        await run_directions(memory_pair()[0], parts(one, two), "the receiver", print, tmp_path / "r.json")
    assert one.done == two.done == ["closed: interrupted"]


@in_virtual_time
async def test_what_fails_beside_the_link_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    a, b = memory_pair()
    side = Side("received", broken_close=True)
    call = asyncio.ensure_future(run_directions(a, parts(side), "the sender", print, tmp_path / "missing" / "r.json"))
    await asyncio.sleep(0.05)
    await b.close()
    with pytest.raises(LinkClosed):
        await call
    told = [record.getMessage() for record in caplog.records]
    assert any("the disk is full" in text for text in told)
    assert any("missing" in text for text in told)
