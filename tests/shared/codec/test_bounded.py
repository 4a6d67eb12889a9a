from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from shared.codec.av1 import Bounded, EncoderStuck

WITHIN = 60.0


def test_work_is_done_in_order_in_another_thread() -> None:
    within, here = Bounded("an encoder", WITHIN), threading.current_thread()
    threads = [within(threading.current_thread) for _ in range(3)]
    assert len(set(threads)) == 1 and threads[0] is not here and threads[0].daemon
    with pytest.raises(TimeoutError, match="its own"):
        within(lambda: (_ for _ in ()).throw(TimeoutError("its own")))
    assert not within.stuck
    assert within(lambda: within(lambda: 3)) == 3  # of itself it does not wait for itself
    within.end()
    threads[0].join(WITHIN)
    assert not threads[0].is_alive()


def test_what_does_not_come_back_is_left_behind() -> None:
    goes_on, done = threading.Event(), list[str]()
    within = Bounded("an encoder", 0.05)
    with pytest.raises(EncoderStuck, match=r"an encoder did not come back within 0.05 s"):
        within(lambda: goes_on.wait(WITHIN))
    with pytest.raises(EncoderStuck):
        within(lambda: done.append("too late"))
    goes_on.set()
    within.end()
    within._thread.join(WITHIN)
    assert (done, within.stuck) == ([], True)


def test_nothing_of_the_work_is_kept() -> None:
    within, released = Bounded("an encoder", WITHIN), threading.Event()

    class Picture:
        def __del__(self) -> None:
            released.set()

    def given() -> Callable[[], None]:
        picture = Picture()

        def work() -> None:
            assert picture

        return work

    within(given())
    assert released.wait(WITHIN)
    within.end()
