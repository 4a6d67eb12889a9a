from __future__ import annotations

from math import inf, nan

import pytest

from sender.refresh import AHEAD_SECONDS, BURST_BYTES, OUT_SHARE, Budget, EveryN, WhenWorse, budget_for
from shared.codec.pieces import split
from shared.transport.link import chunk_cost
from shared.transport.pacing import PIECE

RATE = 13.0 * 125
OUT, BACK = 600, 350
"""Bytes/s of motion."""
SIZE = 2000
COST = sum(chunk_cost(len(piece)) for piece in split(bytes(SIZE), 1, PIECE))


class Spending:
    """A call whose sender sends a source whenever it may."""

    def __init__(self, kbps: float = 13.0, out: float = OUT, back: float = BACK) -> None:
        self.budget, self.now = Budget(kbps), 0.0
        self.out, self.back = 5000.0, 4000.0  # until the first source was held
        self.sent: list[float] = []
        self._rates = out, back
        self.budget.note(4000, 4000, 0.0)
        self.budget.begin()
        self.budget.note(5000, 4000, 0.0)

    def play(self, seconds: float, sources: bool = True, size: int = SIZE) -> None:
        for _ in range(round(seconds * 10)):
            self.now += 0.1
            self.out += self._rates[0] / 10
            self.back += self._rates[1] / 10
            self.budget.note(round(self.out), round(self.back), self.now)
            if sources and self.budget.allows(size, self.now):
                self.budget.sent(size)
                self.out += COST * size / SIZE
                self.sent.append(self.now)

    @property
    def rates(self) -> tuple[float, float]:
        """Bytes/s from the first source on."""
        return (self.out - 5000) / self.now, (self.back - 4000) / self.now


@pytest.mark.parametrize("seconds", [10, 13, 30, 200])
@pytest.mark.parametrize(("out", "back"), [(600, 350), (400, 800), (300, 300)])
def test_the_average_keeps_to_the_budget(out: float, back: float, seconds: int) -> None:
    call = Spending(out=out, back=back)
    call.play(seconds)
    out_rate, back_rate = call.rates
    slack = 1.1 * COST / seconds if seconds > AHEAD_SECONDS else 20  # one source may be a little early
    assert out_rate <= OUT_SHARE * RATE + slack
    assert out_rate + back_rate <= RATE + slack


def test_what_motion_leaves_is_used() -> None:
    call = Spending()
    call.play(200)
    assert call.rates[0] > 0.9 * OUT_SHARE * RATE


def test_a_source_may_go_early_and_is_earned_afterwards() -> None:
    call = Spending()
    call.play(10)
    assert [round(at) for at in call.sent] == [1]


def test_nothing_goes_while_motion_takes_it_all() -> None:
    call = Spending(out=1100)
    call.play(60)
    assert call.sent == []


def test_a_quiet_time_gathers_no_more_than_a_burst() -> None:
    call = Spending()
    call.play(600, sources=False)
    call.play(2)
    assert len(call.sent) == pytest.approx(BURST_BYTES / COST, abs=1)


def test_a_source_larger_than_a_burst_still_goes() -> None:
    call = Spending()
    call.play(100, size=50_000)
    assert len(call.sent) == 1


def test_before_the_first_source_is_held_no_other_goes() -> None:
    budget = Budget(13)
    budget.note(1000, 1000, 5.0)
    assert not budget.allows(SIZE, 5.0)


def test_a_source_that_fits_the_room_may_go_every_ten_seconds() -> None:
    call = Spending(kbps=10.5)
    call.play(100, sources=False)
    room = call.budget.room(call.now)
    assert 0 < room < SIZE
    before = call.now
    call.play(100, size=room)
    assert 8 <= len([at for at in call.sent if at > before + 15]) <= 11


def test_there_is_no_room_while_motion_takes_it_all() -> None:
    call = Spending(out=1100)
    call.play(5)
    assert call.budget.room(call.now) == 0
    assert Budget(13).room(3.0) == 0


@pytest.mark.parametrize("kbps", [0, -1, nan])
def test_impossible_budgets_are_refused(kbps: float) -> None:
    with pytest.raises(ValueError, match="--budget"):
        Budget(kbps)


def test_only_the_default_policy_has_a_budget_that_nobody_asked_for() -> None:
    assert budget_for(WhenWorse(), None, 13) is not None
    assert budget_for(EveryN(15), None, 13) is None
    assert budget_for(EveryN(15), 20, 13) is not None
    assert budget_for(WhenWorse(), inf, 13) is None
    with pytest.raises(ValueError, match="--budget"):
        budget_for(WhenWorse(), 0, 13)


def test_what_fits_the_room_may_go_early_in_a_call() -> None:
    call = Spending()
    call.play(3, sources=False)
    assert call.budget.allows(call.budget.room(call.now), call.now)
