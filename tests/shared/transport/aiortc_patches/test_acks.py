from __future__ import annotations

from shared.transport.aiortc_patches.sack_bundling import MAX_DELAY, MAX_PACKETS, DelayedAck


def test_the_last_of_a_group_is_acknowledged_at_once() -> None:
    acks = DelayedAck()
    assert [acks.received(n * 0.01, False) for n in range(MAX_PACKETS)] == [False] * (MAX_PACKETS - 1) + [True]


def test_a_packet_alone_waits_for_its_time() -> None:
    acks = DelayedAck()
    assert acks.due is None
    assert not acks.received(7.0, False)
    assert acks.due == 7.0 + MAX_DELAY
    acks.sent()
    assert acks.due is None
    assert not acks.received(9.0, False)
    assert acks.due == 9.0 + MAX_DELAY


def test_no_sack_waits_longer_than_the_standard_allows() -> None:
    assert MAX_DELAY <= 0.5
    assert MAX_PACKETS == 2


def test_a_gap_is_told_at_once_and_so_is_its_end() -> None:
    acks = DelayedAck()
    urgent = []
    for n, incomplete in enumerate([False, True, True, False, False]):
        urgent.append(acks.received(float(n), incomplete))
        if urgent[-1]:
            acks.sent()
    assert urgent == [False, True, True, True, False]
