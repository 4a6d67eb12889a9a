from __future__ import annotations

import pytest

from shared.signalling.hello import Hello
from shared.signalling.tokens import AccessTokens, TokenRejected, is_access_token, new_token


async def resume(hello: Hello, sdp: str) -> tuple[Hello, str]:
    return hello, sdp


def status(tokens: AccessTokens, offered: str) -> int:
    with pytest.raises(TokenRejected) as refused:
        tokens.find(offered)
    return refused.value.status


def test_an_invitation_is_spent_on_the_first_call() -> None:
    tokens = AccessTokens()
    link = tokens.invitation
    assert link is not None and tokens.find(link) is None
    call = tokens.admit(resume)
    assert tokens.find(link_of(tokens, call)) is resume
    tokens.begin(call)
    assert tokens.invitation is None
    assert status(tokens, link) == 410
    assert tokens.find(call) is resume
    tokens.end(call)
    assert status(tokens, call) == 410


def link_of(tokens: AccessTokens, call: str) -> str:
    """The pass of a call is its own, not the invitation's."""
    assert call != tokens.invitation and is_access_token(call)
    return call


def test_another_invitation_follows_where_more_calls_are_taken() -> None:
    tokens = AccessTokens(more=True)
    seen = {tokens.invitation}
    for _ in range(3):
        tokens.begin(tokens.admit(resume))
        assert tokens.invitation not in seen
        seen.add(tokens.invitation)
    assert len(tokens.calls) == 3


def test_nobody_else_joins_while_somebody_does() -> None:
    tokens = AccessTokens()
    assert tokens.invitation is not None
    tokens.admit(resume)
    assert status(tokens, tokens.invitation) == 503


def test_who_does_not_connect_has_not_spent_the_invitation() -> None:
    tokens = AccessTokens()
    link = tokens.invitation
    assert link is not None
    call = tokens.admit(resume)
    tokens.end(call)
    assert tokens.invitation == link and tokens.find(link) is None
    assert status(tokens, call) == 410


def test_strangers_are_told_apart_from_those_who_come_too_late() -> None:
    tokens = AccessTokens()
    for offered in (new_token(), "", "ünfit", "x" * 5000):
        assert status(tokens, offered) == 403


def test_spent_passes_do_not_gather() -> None:
    tokens = AccessTokens(more=True)
    for _ in range(200):
        call = tokens.admit(resume)
        tokens.begin(call)
        tokens.end(call)
    assert len(tokens.known) < 50
    assert tokens.calls == ()


def test_changes_are_told() -> None:
    tokens, told = AccessTokens(), list[tuple[str | None, int]]()
    tokens.on_change = lambda: told.append((tokens.invitation, len(tokens.calls)))
    call = tokens.admit(resume)
    tokens.begin(call)
    tokens.end(call)
    assert told == [(None, 1), (None, 0)]


def test_calls_of_before_are_known_and_keep_their_passes() -> None:
    tokens, call = AccessTokens("x" * 22), new_token()
    tokens.restore({call: resume})
    assert tokens.find(call) is resume and tokens.find("x" * 22) is None
    assert tokens.admit(resume, call) == call
    tokens.begin(call)
    assert tokens.invitation == "x" * 22  # it was not what brought this caller
    assert tokens.calls == (call,)


def test_every_comparison_takes_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = AccessTokens(more=True)
    for _ in range(3):
        tokens.begin(tokens.admit(resume))
    compared: list[bytes] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(other)
        return one == other

    monkeypatch.setattr("shared.signalling.tokens.hmac.compare_digest", compare)
    assert status(tokens, "a stranger's") == 403
    assert sorted(compared) == sorted(each.encode() for each in tokens.known)
    compared.clear()
    first, *others = tokens.calls
    assert tokens.find(first) is resume
    assert {each.encode() for each in others} < set(compared)  # it does not stop at the first that fits


def test_an_invitation_holds_for_a_day_whoever_asks() -> None:
    now = 1e9
    tokens = AccessTokens(clock=lambda: now)
    invitation = tokens.invitation
    assert invitation is not None
    now += 24 * 3600 - 1
    assert tokens.find(invitation) is None
    now += 1
    assert status(tokens, invitation) == 410
    assert (tokens.invitation, tokens.lapsed) == (None, True)
    assert tokens.known == (invitation,)


@pytest.mark.parametrize(("away", "holds"), [(3600.0, True), (24 * 3600.0, False)])
def test_the_day_goes_on_while_the_program_does_not_run(away: float, holds: bool) -> None:
    before = AccessTokens(clock=lambda: 1e9)
    after = AccessTokens(before.invitation, invited_at=before.invited_at, clock=lambda: 1e9 + away)
    assert (after.invitation == before.invitation) is holds
    assert after.invited_at == (1e9 if holds else 1e9 + away)
    assert after.invitation is not None and not after.lapsed


def test_a_clock_that_is_set_back_does_not_make_a_link_last() -> None:
    now = 1e9
    tokens = AccessTokens(clock=lambda: now)
    now -= 1e6
    tokens.look()
    now += 24 * 3600
    tokens.look()
    assert tokens.lapsed


def test_who_joins_as_the_day_ends_still_does() -> None:
    now = 1e9
    tokens = AccessTokens(clock=lambda: now)
    call = tokens.admit(resume)
    now += 25 * 3600
    tokens.look()
    tokens.begin(call)
    assert tokens.find(call) is resume and not tokens.lapsed
