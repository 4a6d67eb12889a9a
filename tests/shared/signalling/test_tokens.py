from __future__ import annotations

import pytest

from shared.signalling.hello import Hello
from shared.signalling.tokens import Passes, Unwelcome, is_pass, new_pass


async def resume(hello: Hello, sdp: str) -> tuple[Hello, str]:
    return hello, sdp


def status(passes: Passes, offered: str) -> int:
    with pytest.raises(Unwelcome) as refused:
        passes.find(offered)
    return refused.value.status


def test_an_invitation_is_spent_on_the_first_call() -> None:
    passes = Passes()
    link = passes.invitation
    assert link is not None and passes.find(link) is None
    call = passes.admit(resume)
    assert passes.find(link_of(passes, call)) is resume
    passes.begin(call)
    assert passes.invitation is None
    assert status(passes, link) == 410
    assert passes.find(call) is resume
    passes.end(call)
    assert status(passes, call) == 410


def link_of(passes: Passes, call: str) -> str:
    """The pass of a call is its own, not the invitation's."""
    assert call != passes.invitation and is_pass(call)
    return call


def test_another_invitation_follows_where_more_calls_are_taken() -> None:
    passes = Passes(more=True)
    seen = {passes.invitation}
    for _ in range(3):
        passes.begin(passes.admit(resume))
        assert passes.invitation not in seen
        seen.add(passes.invitation)
    assert len(passes.calls) == 3


def test_nobody_else_joins_while_somebody_does() -> None:
    passes = Passes()
    assert passes.invitation is not None
    passes.admit(resume)
    assert status(passes, passes.invitation) == 503


def test_who_does_not_connect_has_not_spent_the_invitation() -> None:
    passes = Passes()
    link = passes.invitation
    assert link is not None
    call = passes.admit(resume)
    passes.end(call)
    assert passes.invitation == link and passes.find(link) is None
    assert status(passes, call) == 410


def test_strangers_are_told_apart_from_those_who_come_too_late() -> None:
    passes = Passes()
    for offered in (new_pass(), "", "ünfit", "x" * 5000):
        assert status(passes, offered) == 403


def test_spent_passes_do_not_gather() -> None:
    passes = Passes(more=True)
    for _ in range(200):
        call = passes.admit(resume)
        passes.begin(call)
        passes.end(call)
    assert len(passes.known) < 50
    assert passes.calls == ()


def test_changes_are_told() -> None:
    passes, told = Passes(), list[tuple[str | None, int]]()
    passes.on_change = lambda: told.append((passes.invitation, len(passes.calls)))
    call = passes.admit(resume)
    passes.begin(call)
    passes.end(call)
    assert told == [(None, 1), (None, 0)]


def test_calls_of_before_are_known_and_keep_their_passes() -> None:
    passes, call = Passes("x" * 22), new_pass()
    passes.restore({call: resume})
    assert passes.find(call) is resume and passes.find("x" * 22) is None
    assert passes.admit(resume, call) == call
    passes.begin(call)
    assert passes.invitation == "x" * 22  # it was not what brought this caller
    assert passes.calls == (call,)


def test_every_comparison_takes_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = Passes(more=True)
    for _ in range(3):
        passes.begin(passes.admit(resume))
    compared: list[bytes] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(other)
        return one == other

    monkeypatch.setattr("shared.signalling.tokens.hmac.compare_digest", compare)
    assert status(passes, "a stranger's") == 403
    assert sorted(compared) == sorted(each.encode() for each in passes.known)
    compared.clear()
    first, *others = passes.calls
    assert passes.find(first) is resume
    assert {each.encode() for each in others} < set(compared)  # it does not stop at the first that fits


def test_an_invitation_holds_for_a_day_whoever_asks() -> None:
    now = 1e9
    passes = Passes(clock=lambda: now)
    invitation = passes.invitation
    assert invitation is not None
    now += 24 * 3600 - 1
    assert passes.find(invitation) is None
    now += 1
    assert status(passes, invitation) == 410
    assert (passes.invitation, passes.lapsed) == (None, True)
    assert passes.known == (invitation,)


@pytest.mark.parametrize(("away", "holds"), [(3600.0, True), (24 * 3600.0, False)])
def test_the_day_goes_on_while_the_program_does_not_run(away: float, holds: bool) -> None:
    before = Passes(clock=lambda: 1e9)
    after = Passes(before.invitation, invited_at=before.invited_at, clock=lambda: 1e9 + away)
    assert (after.invitation == before.invitation) is holds
    assert after.invited_at == (1e9 if holds else 1e9 + away)
    assert after.invitation is not None and not after.lapsed


def test_a_clock_that_is_set_back_does_not_make_a_link_last() -> None:
    now = 1e9
    passes = Passes(clock=lambda: now)
    now -= 1e6
    passes.look()
    now += 24 * 3600
    passes.look()
    assert passes.lapsed


def test_who_joins_as_the_day_ends_still_does() -> None:
    now = 1e9
    passes = Passes(clock=lambda: now)
    call = passes.admit(resume)
    now += 25 * 3600
    passes.look()
    passes.begin(call)
    assert passes.find(call) is resume and not passes.lapsed
