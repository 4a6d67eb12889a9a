from __future__ import annotations

from receiver.delay import KEPT, LATEST, Delays


def test_all_of_a_short_call_are_kept() -> None:
    delays = Delays()
    for n in range(1000):
        delays.add(float(n))
    assert delays.all() == [float(n) for n in range(1000)]
    assert delays.latest(3) == [997.0, 998.0, 999.0]
    assert len(delays) == 1000


def test_of_a_long_call_they_are_kept_evenly_and_never_more_than_the_bound() -> None:
    delays, most = Delays(kept=8), 0
    for n in range(100):
        delays.add(float(n))
        most = max(most, len(delays))
    assert most == 8
    assert delays.all() == [16.0 * n for n in range(7)]
    assert delays.latest(2) == [98.0, 99.0]
    assert len(delays.latest(1000)) == LATEST


def test_an_hour_fits() -> None:
    assert KEPT * 8 < 1e6
    delays = Delays()
    for n in range(25 * 3600):
        delays.add(float(n))
    assert KEPT / 2 <= len(delays) <= KEPT
    assert delays.all()[-1] >= 25 * 3600 - 2
