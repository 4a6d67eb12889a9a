from __future__ import annotations

from shared.call.loop import Silence


def test_silence_is_told_then_fatal() -> None:
    silence = Silence(100.0)
    states = {after: silence.state(100.0 + after) for after in (0.0, 4.9, 5.0, 89.9, 90.0, 1000.0)}
    assert states == {0.0: "ok", 4.9: "ok", 5.0: "silent", 89.9: "silent", 90.0: "dead", 1000.0: "dead"}


def test_a_message_ends_the_silence() -> None:
    silence = Silence(0.0)
    assert silence.state(10.0) == "silent"
    silence.heard(10.0)
    assert silence.state(14.0) == "ok"
    silence.heard(3.0)  # a clock read earlier, reported later
    assert silence.state(14.0) == "ok"


def test_limits_can_be_chosen() -> None:
    silence = Silence(0.0, silent_after=1.0, dead_after=2.0)
    assert [silence.state(now) for now in (0.5, 1.5, 2.5)] == ["ok", "silent", "dead"]
