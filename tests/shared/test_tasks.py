from __future__ import annotations

import asyncio
import threading

import pytest

from shared.tasks import aside, first_of, one_line, unbroken, watched

WITHIN = 60.0


async def fails(text: str) -> None:
    raise ValueError(text)


async def test_a_failure_is_logged_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    tasks = [watched(fails("two\n  lines"), "looking failed"), watched(asyncio.sleep(0), "sleeping failed")]
    cancelled = watched(asyncio.sleep(600), "waiting failed")
    cancelled.cancel()
    await asyncio.gather(*tasks, cancelled, return_exceptions=True)
    await asyncio.sleep(0)
    assert [record.getMessage() for record in caplog.records] == ["looking failed (ValueError: two lines)"]
    assert one_line(KeyError()) == "KeyError"


async def test_work_that_must_not_be_cut_off_goes_to_its_end() -> None:
    begun, may_end, done = asyncio.Event(), asyncio.Event(), list[str]()

    async def closing() -> str:
        begun.set()
        await may_end.wait()
        done.append("closed")
        return "whole"

    waiting = asyncio.ensure_future(unbroken(closing()))
    await begun.wait()
    for _ in range(3):
        waiting.cancel()
        await asyncio.sleep(0.01)
        assert not waiting.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert done == ["closed"]
    assert await unbroken(closing()) == "whole"
    with pytest.raises(ValueError, match="broken"):
        await unbroken(fails("broken"))


async def test_the_first_to_end_ends_the_others() -> None:
    ended: list[str] = []

    async def lasting() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("lasting")

    with pytest.raises(ValueError, match="over"):
        await first_of(lasting(), fails("over"))
    await first_of(asyncio.sleep(0), lasting())
    assert ended == ["lasting", "lasting"]


async def test_work_in_a_thread_gives_its_result_or_its_error() -> None:
    assert await asyncio.wait_for(aside(threading.current_thread), WITHIN) is not threading.main_thread()

    def broken() -> None:
        raise OSError("no such camera")

    with pytest.raises(OSError, match="no such camera"):
        await aside(broken)


async def test_what_nobody_waits_for_any_more_is_undone() -> None:
    may_end, undone = threading.Event(), threading.Event()
    opened: list[str] = []

    def slow() -> str:
        may_end.wait(WITHIN)
        return "camera"

    def undo(what: str) -> None:
        opened.append(what)
        undone.set()

    waiting = asyncio.ensure_future(aside(slow, undo))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    may_end.set()
    assert await asyncio.to_thread(undone.wait, WITHIN)
    assert opened == ["camera"]


async def test_a_result_that_came_as_its_caller_was_cancelled_is_undone() -> None:
    given, undone = threading.Event(), threading.Event()

    def quick() -> str:
        given.set()
        return "camera"

    waiting = asyncio.ensure_future(aside(quick, lambda what: undone.set()))
    await asyncio.sleep(0)  # the thread has started; the loop sees nothing of what it gives until this function waits
    given.wait(WITHIN)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await asyncio.to_thread(undone.wait, WITHIN)
