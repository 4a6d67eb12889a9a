from __future__ import annotations

from shared.signalling.limits import RateLimiter


def test_blocked_after_the_allowed_failures_until_the_window_passed() -> None:
    limit = RateLimiter(allowed=3, window=60.0)
    for now in (0.0, 1.0):
        limit.record("a", now)
    assert not limit.blocked("a", 2.0)
    limit.record("a", 2.0)
    assert limit.blocked("a", 3.0)
    assert not limit.blocked("b", 3.0)
    assert not limit.blocked("a", 60.5)


def test_slow_failures_never_block() -> None:
    limit = RateLimiter(allowed=3, window=60.0)
    for n in range(20):
        limit.record("a", 40.0 * n)
        assert not limit.blocked("a", 40.0 * n)


def test_memory_is_bounded() -> None:
    limit = RateLimiter(allowed=1, remembered=10)
    for n in range(50):
        limit.record(str(n), 0.0)
    assert [limit.blocked(str(n), 1.0) for n in (0, 39, 40, 49)] == [False, False, True, True]


def test_who_goes_on_failing_stays_blocked() -> None:
    limit = RateLimiter(allowed=2, window=10.0)
    for n in range(50):
        limit.record("a", float(n))
        assert limit.blocked("a", n + 0.5) == (n > 0)
    assert limit.blocked("a", 57.9)
    assert not limit.blocked("a", 58.1)  # ten seconds after the last but one


def test_nobody_is_blocked_before_the_first_failure() -> None:
    limit = RateLimiter(allowed=1)
    assert not limit.blocked("a", 0.0)
    limit.record("b", 0.0)
    assert not limit.blocked("a", 0.0)


def test_the_address_longest_quiet_is_forgotten_first() -> None:
    limit = RateLimiter(allowed=2, window=60.0, remembered=2)
    for address in ("a", "b", "a"):
        limit.record(address, 0.0)
    limit.record("c", 1.0)  # in the place of b, which has been quiet longer than a
    limit.record("b", 1.0)  # in the place of a
    assert [limit.blocked(address, 2.0) for address in "abc"] == [False, False, False]
    limit.record("b", 2.0)
    assert limit.blocked("b", 2.0)


def test_asking_does_not_count() -> None:
    limit = RateLimiter(allowed=2, window=60.0)
    limit.record("a", 0.0)
    for _ in range(100):
        assert not limit.blocked("a", 1.0)
    limit.record("a", 59.0)
    assert limit.blocked("a", 59.5)
