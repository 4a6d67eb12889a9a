"""What a line does to numbered packets, in simulated time."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from benchmarks.line import Bursts, Conditions, Line

SIZE = 100


def line(seed: int = 1, **conditions: Any) -> Line[int]:
    return Line(Conditions(**conditions), random.Random(seed))


def arrivals(way: Line[int], sent: Iterable[tuple[float, int]]) -> list[tuple[float, int]]:
    """When each packet arrives, by asking only at the times that the line names."""
    came: list[tuple[float, int]] = []

    def until(end: float) -> None:
        while (at := way.next_time()) is not None and at <= end:
            came.extend((at, packet) for packet in way.take(at))

    for now, number in sent:
        until(now)
        way.offer(number, SIZE, now)
    until(float("inf"))
    return came


def every(seconds: float, count: int) -> list[tuple[float, int]]:
    return [(n * seconds, n) for n in range(count)]


def test_a_line_without_faults_only_delays() -> None:
    came = arrivals(line(delay=0.25), every(0.5, 5))
    assert came == [(n * 0.5 + 0.25, n) for n in range(5)]


def test_the_rate_spaces_packets_and_the_queue_is_bounded_in_bytes() -> None:
    way = line(rate=8000, queue=5 * SIZE)
    assert [way.offer(n, SIZE, 0.0) for n in range(7)] == [True] * 5 + [False] * 2
    assert way.queueing(0.0) == pytest.approx(0.5)
    assert way.queueing(0.25) == pytest.approx(0.25)
    came = arrivals(way, [])
    assert [packet for _, packet in came] == list(range(5))
    assert [at for at, _ in came] == pytest.approx([0.1 * (n + 1) for n in range(5)])


def test_a_fall_of_the_rate_also_slows_what_waits() -> None:
    way = line(rate=80_000)
    for n in range(4):
        way.offer(n, SIZE, 0.0)
    way.change(0.015, Conditions(rate=8000))  # one has left, half of the second
    assert [at for at, _ in arrivals(way, [])] == pytest.approx([0.01, 0.065, 0.165, 0.265])


def test_random_loss_is_as_frequent_as_asked_and_the_same_for_a_seed() -> None:
    runs = [[n for _, n in arrivals(line(seed, loss=0.3), every(0.01, 3000))] for seed in (4, 4, 5)]
    assert 0.27 < 1 - len(runs[0]) / 3000 < 0.33
    assert runs[0] == runs[1] != runs[2]


def test_bursts_lose_all_for_their_time_and_nothing_between() -> None:
    came = {n for _, n in arrivals(line(bursts=Bursts(8.0, 2.0, steady=True)), every(0.1, 300))}
    lost = [n for n in range(300) if n not in came]
    assert lost == [n for n in range(300) if n * 0.1 % 10 >= 8.0 - 1e-9]


def test_bursts_by_chance_have_their_mean_length_and_share() -> None:
    came = {n for _, n in arrivals(line(bursts=Bursts(3.0, 1.0)), every(0.05, 40_000))}
    lost = [n not in came for n in range(40_000)]
    begun = sum(1 for before, now in itertools.pairwise(lost) if now and not before)
    assert 0.2 < sum(lost) / len(lost) < 0.3
    assert 0.8 < sum(lost) * 0.05 / begun < 1.25


@pytest.mark.parametrize("conditions", [{"jitter": 0.3}, {"reorder": 0.4, "held_up": 0.3}])
def test_jitter_and_reordering_lose_nothing_but_change_the_order(conditions: dict[str, Any]) -> None:
    came = arrivals(line(delay=0.1, **conditions), every(0.05, 200))
    numbers = [n for _, n in came]
    assert numbers != sorted(numbers) == list(range(200))
    assert all(0.1 - 1e-9 <= at - n * 0.05 <= 0.4 + 1e-9 for at, n in came)


def test_some_packets_come_twice() -> None:
    numbers = [n for _, n in arrivals(line(duplicate=0.25), every(0.05, 2000))]
    assert set(numbers) == set(range(2000))
    assert 0.2 < len(numbers) / 2000 - 1 < 0.3


def stalled(lost: bool) -> tuple[list[float], list[int]]:
    way = line(delay=0.1, queue=10 * SIZE)
    way.offer(0, SIZE, 0.0)
    way.stall(0.05, 2.0, lost=lost)
    came = arrivals(way, [(0.1 * n, n) for n in range(1, 30)])
    return [at for at, _ in came], [n for _, n in came]


def test_a_stall_holds_what_its_queue_can_and_then_lets_it_go() -> None:
    times, numbers = stalled(lost=False)
    assert times[:3] == pytest.approx([0.1, 2.15, 2.15])  # the first was past the queue
    assert numbers == [0, *range(1, 11), *range(21, 30)]


def test_a_stall_may_lose_what_comes() -> None:
    times, numbers = stalled(lost=True)
    assert numbers == [0, *range(21, 30)]
    assert times[1] == pytest.approx(2.2)


def test_a_cut_loses_what_is_under_way_and_the_return_begins_empty() -> None:
    way = line(rate=8000, delay=1.0)
    for n in range(5):
        way.offer(n, SIZE, 0.0)
    way.change(0.15, Conditions(cut=True))
    assert not way.offer(5, SIZE, 0.2)
    assert way.next_time() is None
    way.change(3.0, Conditions(delay=0.5))
    assert arrivals(way, [(3.0, 6)]) == [(3.5, 6)]


def test_what_is_asked_between_the_named_times_changes_nothing() -> None:
    def run(look: Callable[[Line[int], float], object]) -> list[tuple[float, int]]:
        way, came = line(rate=16_000, delay=0.2, jitter=0.1), []
        for now, n in every(0.03, 50):
            way.offer(n, SIZE, now)
            look(way, now + 0.01)
        while (at := way.next_time()) is not None:
            came += [(round(at, 9), n) for n in way.take(at)]
        return came

    assert run(lambda way, now: way.queueing(now)) == run(lambda way, now: None)
