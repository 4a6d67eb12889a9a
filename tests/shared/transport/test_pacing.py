from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

from shared.transport.link import PACKET_HEADERS, chunk_cost, wire_cost
from shared.transport.pacing import CATCH_UP, KEY_SHARE, PIECE, RIDE_WAIT, PicturePacer


def pieces(count: int, tag: int = 0) -> list[bytes]:
    return [bytes([tag, n]) + bytes(298) for n in range(count)]


def run(pacer: PicturePacer, times: Iterable[float], queued: int = 0) -> list[tuple[float, bytes]]:
    return [(now, piece) for now in times for piece in pacer.pop_due(now, queued)]


def test_all_pieces_in_order_and_never_faster_than_the_rate() -> None:
    pacer = PicturePacer(first_rate=2000)
    pacer.add(1, pieces(20))
    sent = run(pacer, [n * 0.04 for n in range(200)])
    assert [piece for _, piece in sent] == pieces(20)
    cost = wire_cost(300)
    for n, (early, _) in enumerate(sent):
        for m, (late, _) in enumerate(sent[n:], 1):
            assert m * cost <= (late - early + CATCH_UP) * 2000 + cost
    assert 19 * cost / 2000 <= sent[-1][0] + CATCH_UP
    assert sent[-1][0] <= 20 * cost / 2000 + 0.1


def test_later_sources_are_slower_and_the_rate_can_be_set() -> None:
    pacer = PicturePacer(first_rate=8000, later_rate=1000)
    pacer.add(1, pieces(4))
    pacer.add(2, pieces(4, 1))
    ticks = [n * 0.01 for n in range(1000)]
    times = [now for now, _ in run(pacer, ticks)]
    assert times[3] < 0.2
    assert times[7] - times[4] == pytest.approx(3 * wire_cost(300) / 1000, abs=0.12)
    pacer.later_rate = 4000
    pacer.add(3, pieces(4, 2))
    again = [now for now, _ in run(pacer, [10 + now for now in ticks])]
    assert again[3] - again[0] < 3 * wire_cost(300) / 4000 + 0.02


def test_waits_while_the_link_is_full() -> None:
    pacer = PicturePacer(queue_bound=1000)
    pacer.add(1, pieces(3))
    assert run(pacer, [0.0, 1.0, 2.0], queued=1001) == []
    assert len(run(pacer, [3.0], queued=1000)) == 1


def test_a_long_wait_earns_no_burst() -> None:
    pacer = PicturePacer(first_rate=1000)
    pacer.add(1, pieces(50))
    pacer.pop_due(0.0, 0)
    assert len(pacer.pop_due(60.0, 0)) == 1


def steady(pacer: PicturePacer, every: float, seconds: float) -> Iterator[tuple[float, int]]:
    """(time, pieces) of each bundle that had some with it, one every so many seconds; nothing may go between."""
    for n in range(round(seconds / 0.02)):
        now = 10 + 0.02 * n
        rides = n % round(every / 0.02) == 0
        sent = pacer.pop_due(now, 0, rides)
        assert rides or not sent
        if sent:
            yield now, len(sent)


@pytest.mark.parametrize("every", [0.2, 0.4])
@pytest.mark.parametrize("rate", [400.0, 800.0, 1600.0])
def test_while_motion_flows_pieces_go_with_bundles_at_the_rate(every: float, rate: float) -> None:
    pacer = PicturePacer(later_rate=rate)
    pacer.add(1, [b"the first source"])
    pacer.pop_due(0.0, 0)
    pacer.add(2, [bytes(PIECE)] * 1000)
    rides = list(steady(pacer, every, 20.0))
    taken = sum(count for _, count in rides) * chunk_cost(PIECE) / 20.0
    assert 0.9 * rate < taken < 1.02 * rate
    assert max(count for _, count in rides) <= max(1, rate * every / chunk_cost(PIECE))


def test_pieces_go_alone_once_motion_has_stopped() -> None:
    pacer = PicturePacer()
    pacer.pop_due(0.0, 0, rides=True)
    pacer.add(1, pieces(1))
    assert pacer.pop_due(RIDE_WAIT - 0.01, 0) == []
    assert pacer.pop_due(RIDE_WAIT, 0) == pieces(1)


def test_a_piece_and_its_bundle_are_gone_before_the_next_at_16_kbits() -> None:
    assert PACKET_HEADERS + chunk_cost(40) + chunk_cost(PIECE) < 0.2 * 2000


def test_drop_all_but_keeps_the_newest() -> None:
    pacer = PicturePacer()
    for source in (1, 2, 3):
        pacer.add(source, pieces(2, source))
    assert pacer.drop_all_but(3) == 4
    assert pacer.pending == 2 * wire_cost(300)


def test_haste_lasts_until_one_source_went_out_whole() -> None:
    pacer = PicturePacer(first_rate=8000, later_rate=100)
    pacer.add(1, pieces(5))
    pacer.pop_due(0.0, 0)
    pacer.add(2, pieces(5, 1))
    pacer.drop_all_but(2)
    assert len(run(pacer, [n * 0.01 for n in range(1, 60)])) == 5


@pytest.mark.parametrize("rate", [0.0, -1.0])
def test_rates_are_positive(rate: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        PicturePacer(later_rate=rate)
    with pytest.raises(ValueError, match="positive"):
        PicturePacer().later_rate = rate


def test_the_first_key_goes_as_fast_as_the_first_source_came_and_later_ones_do_not() -> None:
    def taken(pacer: PicturePacer, begin: float, number: int) -> float:
        """Seconds until a key of 2 KB is out, beside bundles five times a second."""
        pacer.add_key(number, pieces(7, number))
        times = [begin + 0.2 * n for n in range(60)]
        sent = [now for now in times for _ in pacer.pop_due(now, 0, rides=True)]
        return sent[-1] - begin

    def began(pacer: PicturePacer, begin: float, seconds: float, number: int) -> None:
        pacer.add(number, pieces(4))
        run(pacer, [begin + n * 0.04 for n in range(50)])
        pacer.arrived(begin + seconds)

    pacer, cost = PicturePacer(first_rate=8000, later_rate=400), 7 * chunk_cost(300)
    began(pacer, 0.0, 0.5, 1)
    quick = KEY_SHARE * 4 * wire_cost(300) / 0.5
    first, second = taken(pacer, 10.0, 1), taken(pacer, 30.0, 2)
    assert first <= cost / quick + 0.2
    assert second >= 6 / 7 * cost / 400 - 0.2
    pacer.freed_rate = 1600.0  # of packets that wait for the key
    assert taken(pacer, 50.0, 5) <= cost / 2000 + 0.2
    pacer.freed_rate = 0.0
    pacer.restart(nothing_held=True)
    began(pacer, 80.0, 2.0, 3)
    slow = KEY_SHARE * 4 * wire_cost(300) / 2.0
    assert first < 6 / 7 * cost / slow - 0.2 <= taken(pacer, 90.0, 4)
