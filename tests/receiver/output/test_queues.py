"""What waits beside the event loop: never more than is said, and nothing lost that must not be."""

from __future__ import annotations

import asyncio
import threading

import pytest

from receiver.output.outputs import NewestQueue, OrderedQueue


class Gate:
    """A job that waits until it is let go."""

    def __init__(self) -> None:
        self.begun, self._open = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.begun.set()
        assert self._open.wait(60)

    def open(self) -> None:
        self._open.set()


def fail() -> None:
    raise OSError("full")


async def test_what_lasts_is_all_done_in_order_and_holds_up_who_brings_it() -> None:
    queue, gate, done = OrderedQueue("test", 3), Gate(), list[int]()
    await queue.put(gate)
    for n in range(2):
        await queue.put(lambda n=n: done.append(n))
    bringing = asyncio.ensure_future(queue.put(lambda: done.append(2)))
    await asyncio.sleep(0.01)
    assert not bringing.done()  # the fourth waits, and with it who brings it
    gate.open()
    await bringing
    await queue.last(lambda: done.append(3))
    queue.end()
    assert done == [0, 1, 2, 3]


async def test_after_a_failure_nothing_more_is_done_and_it_is_told_once() -> None:
    queue, gate, done = OrderedQueue("test", 3), Gate(), list[int]()
    await queue.put(gate)
    await queue.put(fail)
    await queue.put(lambda: done.append(1))
    gate.open()
    await queue.last(lambda: done.append(2))  # the end is done whatever was
    with pytest.raises(OSError, match="full"):
        await queue.put(lambda: done.append(3))
    queue.check()
    queue.end()
    assert done == [2]


async def test_of_what_is_for_the_eye_the_newest_counts() -> None:
    queue, gate, done = NewestQueue("test"), Gate(), list[int]()
    queue.put(gate)
    for n in range(100):
        queue.put(lambda n=n: done.append(n))
    assert await asyncio.to_thread(gate.begun.wait, 60)
    gate.open()
    await queue.last(lambda: done.append(-1))
    queue.end()
    assert done == [99, -1]


async def test_what_goes_wrong_for_the_eye_is_told_with_the_next_or_at_the_end() -> None:
    queue, gate = NewestQueue("test"), Gate()
    queue.put(fail)
    queue.put(gate)
    assert await asyncio.to_thread(gate.begun.wait, 60)
    await asyncio.sleep(0)
    with pytest.raises(OSError, match="full"):
        queue.put(fail)
    queue.put(fail)
    gate.open()
    ended = list[bool]()
    with pytest.raises(OSError, match="full"):
        await queue.last(lambda: ended.append(True))
    queue.end()
    assert ended == [True]
