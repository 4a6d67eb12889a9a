"""A long call in accelerated time: nothing that the halves keep grows."""

from __future__ import annotations

import pytest
from kept import elements
from simulated_call import AdaptingCall

from sender.refresh import EveryN

MINUTE = 60.0


def test_the_count_sees_what_grows_deep_inside() -> None:
    call = AdaptingCall(fps=5.0)
    call.run(2)
    before = elements(call.outgoing)
    call.outgoing.adaptation.forgotten = {"a": [(b"x",)] * 500}  # type: ignore[attr-defined]
    assert elements(call.outgoing) >= before + 500


@pytest.mark.parametrize(("fps", "minutes"), [(3.0, 20), pytest.param(25.0, 60, marks=pytest.mark.slow)])
def test_a_long_call_keeps_no_more_than_a_quarter_of_it(fps: float, minutes: int) -> None:
    call = AdaptingCall(16_000.0, fps=fps, policy=EveryN(round(9 * fps)))
    call.keep = False
    most = {"sender": 0, "receiver": 0}
    early = dict(most)
    for minute in range(minutes):
        call.run(MINUTE)
        now = {"sender": elements(call.outgoing), "receiver": elements(call.incoming)}
        most = {side: max(most[side], count) for side, count in now.items()}
        if minute == minutes // 4 - 1:
            early = dict(most)
    assert call.outgoing.counts.frames_sent > 58 * minutes * fps
    assert call.incoming.counts.frames_shown > 58 * minutes * fps
    assert call.incoming.counts.sources_received > 4 * minutes
    for side, count in most.items():
        assert count <= 1.05 * early[side] + 20, side
    assert len(call.incoming.timing.delays_ms()) <= 1 << 16
