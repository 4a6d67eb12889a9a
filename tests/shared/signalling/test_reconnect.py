"""Connecting again, with a caller that makes connections in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import pytest
from memory_link import MemoryLink, memory_pair
from virtual_time import in_virtual_time

from shared.signalling import reconnect as module
from shared.signalling.hello import Hello
from shared.signalling.offer_answer import RefusedForGood, SignallingError
from shared.signalling.reconnect import Caller, calling, keep_connected
from shared.transport.ice import IceSettings
from shared.transport.link import Channel, LinkClosed
from shared.transport.resuming import Change, ResumingLink

HELLO = Hello("compact", "0123456789abcdef", "sender", "camera", 25.0, 15, 256)

Outcome = Exception | None


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "QUIET_SECONDS": 0.1, "LOOK_SECONDS": 0.01, "PAUSE_SECONDS": (0.01,), "REFUSED_PAUSE_SECONDS": 0.01,
    }.items():  # fmt: skip
        monkeypatch.setattr(module, name, value)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


class Attempts:
    """Stands in for `Caller`: the network is away for some probes, then offers end as they are told to."""

    def __init__(self, away: int = 0, outcomes: Sequence[Outcome] = (None,)) -> None:
        self.away, self.outcomes = away, list(outcomes)
        self.probes: list[float] = []
        self.far: list[MemoryLink] = []
        self.replaced = False
        self.before_answer: Callable[[], None] = lambda: None

    async def reachable(self, within: float) -> bool:
        self.probes.append(within)
        self.before_answer()
        return len(self.probes) > self.away

    async def connect(self) -> MemoryLink:
        outcome = self.outcomes.pop(0)
        if outcome is not None:
            raise outcome
        near, far = memory_pair()
        self.far.append(far)
        return near


class Kept:
    """A link that is kept connected."""

    def __init__(self, attempts: Attempts) -> None:
        near, self.far = memory_pair()
        self.link, self.said, self.changes = ResumingLink(near), list[str](), list[Change]()
        self.link.on_message(lambda channel, data: None)
        self.link.on_change(self.changes.append)
        self.work = asyncio.ensure_future(keep_connected(self.link, cast(Caller, attempts), self.said.append))

    async def close(self) -> None:
        self.work.cancel()
        await asyncio.gather(self.work, return_exceptions=True)
        await self.link.close()


@in_virtual_time
async def test_a_connection_that_ends_is_made_anew_however_often_it_takes() -> None:
    attempts = Attempts(7, [SignallingError("not now"), LinkClosed("no path"), None])
    kept = Kept(attempts)
    await kept.far.close()
    await until(lambda: kept.link.renewals == 1)
    assert len(attempts.probes) == 10
    assert min(attempts.probes) <= 1.0 < max(attempts.probes)  # short ones, and patient ones in between
    assert kept.changes == [Change.LOST, Change.RENEWED]
    assert kept.said == ["the connection was lost: connecting again", "connected again"]
    await kept.close()


@in_virtual_time
async def test_one_that_is_silent_is_made_anew_too() -> None:
    attempts = Attempts()
    kept = Kept(attempts)
    for _ in range(30):
        kept.far.send(Channel.CONTROL, b"alive")
        await asyncio.sleep(0.01)
    await until(lambda: kept.link.renewals == 1)
    await until(lambda: attempts.far != [])
    assert kept.link.alive
    await kept.close()


@in_virtual_time
async def test_one_that_is_heard_again_is_kept() -> None:
    attempts = Attempts()
    kept = Kept(attempts)

    def back() -> None:
        kept.far.send(Channel.CONTROL, b"back")

    async def speak() -> None:
        while True:
            back()
            await asyncio.sleep(0.01)

    seen = 0

    async def slow(within: float) -> bool:
        nonlocal seen
        seen += 1
        back()
        await asyncio.sleep(0.05)
        return True

    attempts.reachable = slow  # type: ignore[method-assign]
    await until(lambda: seen == 1)
    speaking = asyncio.ensure_future(speak())
    await until(lambda: "the connection is back by itself" in kept.said)
    assert kept.link.renewals == 0 and kept.link.alive
    speaking.cancel()
    await kept.close()


@in_virtual_time
async def test_a_receiver_that_refuses_for_good_ends_it() -> None:
    kept = Kept(Attempts(outcomes=[RefusedForGood("the receiver refused: it knows no such call")]))
    await kept.far.close()
    reason = await asyncio.wait_for(kept.link.wait_closed(), 30)
    assert reason == "the call cannot be resumed, the receiver refused: it knows no such call"
    await kept.close()


@in_virtual_time
async def test_a_call_by_hand_keeps_no_state(tmp_path: Path) -> None:
    with pytest.raises(SignallingError, match="joined by hand cannot be resumed"):
        async with calling("by-hand", HELLO, IceSettings(), state=tmp_path / "state"):
            pass


@in_virtual_time
async def test_what_nobody_expected_is_another_attempt(caplog: pytest.LogCaptureFixture) -> None:
    attempts = Attempts(outcomes=[RuntimeError("no such\n transport"), None])
    probe, probed = attempts.reachable, list[float]()

    async def broken_once(within: float) -> bool:
        probed.append(within)
        if len(probed) == 1:
            raise OSError("network is unreachable")
        return await probe(within)

    attempts.reachable = broken_once  # type: ignore[method-assign]
    kept = Kept(attempts)
    await kept.far.close()
    await until(lambda: kept.link.renewals == 1)
    assert [record.getMessage() for record in caplog.records] == [
        "the way to the receiver could not be tried (OSError: network is unreachable)",
        "attempt 2 to connect again failed (RuntimeError: no such transport)",
    ]
    await kept.close()


@in_virtual_time
async def test_what_keeps_a_link_connected_does_not_die_in_silence() -> None:
    kept = Kept(Attempts())

    def broken(text: str) -> None:
        raise BrokenPipeError("nobody reads this")

    kept.work.cancel()
    kept.work = asyncio.ensure_future(keep_connected(kept.link, cast(Caller, Attempts()), broken))
    await kept.far.close()
    reason = await asyncio.wait_for(kept.link.wait_closed(), 30)
    assert reason == "the call cannot be resumed (BrokenPipeError: nobody reads this)"
    await kept.close()
