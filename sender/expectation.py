"""Whether a new source is worth its bytes: how bad the pictures are, against what a fresh source is known to give.

Errors are dB (ten times the logarithm of a squared error; more is worse), each a mean over the same few frames. Only
differences count, so nothing here depends on how well the networks draw.
"""

from __future__ import annotations

AT_ONCE_DB, IN_THE_END_DB = 4.0, 0.5
"""What a new source must repair: right after the last one came, and `PATIENCE_SECONDS` later."""
PATIENCE_SECONDS = 10.0
"""A moving person gets a source this often, if the budget allows it."""
_WORTH_A_TRIAL = 0.5
"""Share of the gain required that the expectation must promise: a candidate may be better than expected."""
_LEARN = 0.5
"""Weight of the newest trial in the expectation."""


def required_gain(seconds: float) -> float:
    """dB that a new source must repair when the last one came `seconds` ago: bytes that wait are bytes saved."""
    share = min(max(seconds / PATIENCE_SECONDS, 0.0), 1.0)
    return AT_ONCE_DB + share * (IN_THE_END_DB - AT_ONCE_DB)


class Expectation:
    """The running expectation of what a fresh source gives, from the trials so far."""

    def __init__(self) -> None:
        self._fresh: float | None = None

    def worth_trying(self, error: float, seconds: float) -> bool:
        """Whether pictures of this error are so bad that a new source may repair them; before any trial, always."""
        if self._fresh is None:
            return True
        self._fresh = min(self._fresh, error)  # what is there already is no worse than fresh
        return error - self._fresh >= _WORTH_A_TRIAL * required_gain(seconds)

    def tried(self, error: float, fresh: float, seconds: float) -> bool:
        """Takes in a trial, the frames' `error` now and from the candidate; whether the candidate repairs enough."""
        self._fresh = fresh if self._fresh is None else self._fresh + _LEARN * (fresh - self._fresh)
        return error - fresh >= required_gain(seconds)
