from __future__ import annotations

import pytest

from receiver.delay import Attention
from shared.call.loop import TICK_SECONDS


def looked(until: float, attention: Attention | None = None, every: float = TICK_SECONDS) -> Attention:
    attention = attention or Attention()
    for n in range(round(until / every) + 1):
        attention.look(n * every)
    return attention


def test_nothing_has_waited_before_the_first_look_or_on_an_idle_machine() -> None:
    assert Attention().waited(100.0) == 0.0
    assert looked(1.0).waited(1.01) == pytest.approx(0.0)
    assert looked(1.0).lately == pytest.approx(0.0)


def test_what_comes_in_after_a_pause_may_have_waited_through_it() -> None:
    assert looked(1.0).waited(1.3) == pytest.approx(0.3 - TICK_SECONDS)


def test_the_pause_counts_for_the_steps_that_a_message_takes_after_it_and_no_longer() -> None:
    attention = looked(1.0)
    attention.look(1.3)
    assert attention.waited(1.31) == pytest.approx(0.3 - TICK_SECONDS)
    attention.look(1.32)
    attention.look(1.36)
    assert attention.waited(1.37) == pytest.approx(0.02)
    assert attention.lately == pytest.approx(0.28)


def test_it_is_forgotten_after_a_while() -> None:
    attention = looked(1.0)
    attention.look(1.3)
    for n in range(110):
        attention.look(1.3 + n * TICK_SECONDS)
    assert attention.lately == pytest.approx(0.0)
