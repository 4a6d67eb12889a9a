from __future__ import annotations

from shared.session.attempts import FailureLimit


def test_blocked_after_the_allowed_failures_until_the_window_passed() -> None:
    limit = FailureLimit(allowed=3, window=60.0)
    for now in (0.0, 1.0):
        limit.failed("a", now)
    assert not limit.blocked("a", 2.0)
    limit.failed("a", 2.0)
    assert limit.blocked("a", 3.0)
    assert not limit.blocked("b", 3.0)
    assert not limit.blocked("a", 60.5)


def test_slow_failures_never_block() -> None:
    limit = FailureLimit(allowed=3, window=60.0)
    for n in range(20):
        limit.failed("a", 40.0 * n)
        assert not limit.blocked("a", 40.0 * n)


def test_memory_is_bounded() -> None:
    limit = FailureLimit(allowed=1, remembered=10)
    for n in range(50):
        limit.failed(str(n), 0.0)
    assert [limit.blocked(str(n), 1.0) for n in (0, 39, 40, 49)] == [False, False, True, True]
