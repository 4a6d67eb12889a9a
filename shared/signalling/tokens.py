"""Access tokens: who has the open invitation, and who was let in with it and comes back; and when it expires.

An access token is a random text. An invitation is spent on the first call made with it; each call has a token of its
own, by which the caller, and nobody else, can resume it. Tokens are secret: none is ever logged or
shown but an invitation.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping

from shared.signalling.offer_answer import OnOffer, SignallingError

_TOKEN = re.compile(r"[A-Za-z0-9_-]{22}")
INVITATION_SECONDS = 24 * 3600.0
"""That an invitation holds which nobody uses: its link may lie about in a chat for ever. By the clock on the wall, so
that the night of a sleeping laptop counts, and also while this program was not running."""
_REMEMBERED = 32
"""Spent tokens kept, so that who comes with one learns why it does not hold."""
LOOK_SECONDS = 30.0


class TokenRejected(Exception):
    """A token that opens nothing now. `status` is HTTP's, the text one sentence; 403 and 410 are for good."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def new_token() -> str:
    """A random token: 128 bits as 22 letters, digits, - and _."""
    return secrets.token_urlsafe(16)


def is_access_token(value: object) -> bool:
    """Whether something looks like what `new_token` gives."""
    return isinstance(value, str) and _TOKEN.fullmatch(value) is not None


class AccessTokens:
    """The tokens of one receiver. All comparisons take the same time whatever was offered."""

    def __init__(
        self,
        invitation: str | None = None,
        *,
        more: bool = False,
        invited_at: float | None = None,
        clock: Callable[[], float] = time.time,
        lasts: float = INVITATION_SECONDS,
    ) -> None:
        """Without an invitation, one is made. `more`: whether a spent one is followed by another.

        `invited_at`: when the invitation was made, by `clock`; None: now. It holds for `lasts` seconds; one that does
        not hold any more is followed by another here, since nobody was told yet that there is none.
        """
        self.lasts = lasts
        self.lapsed = False
        """Whether the last invitation was not used in time, and there is no other."""
        self._clock = clock
        self._spent: deque[str] = deque(maxlen=_REMEMBERED)
        self.invitation: str | None = invitation or new_token()
        """What a new call is made with; None: no further call is taken."""
        self.invited_at = clock() if invitation is None or invited_at is None else invited_at
        """When it was made, in seconds of the clock."""
        if self._too_old():
            self._spent.append(self.invitation)
            self.invitation, self.invited_at = new_token(), clock()
        self.on_change: Callable[[], None] = lambda: None
        """Called whenever the invitation or the calls have changed."""
        self._more = more
        self._calls: dict[str, OnOffer] = {}
        self._pending: str | None = None

    @property
    def calls(self) -> tuple[str, ...]:
        """The tokens of the calls that can be resumed."""
        return tuple(self._calls)

    @property
    def known(self) -> tuple[str, ...]:
        """All tokens that somebody may rightly believe to have, spent ones included."""
        self.look()
        return (*([] if self.invitation is None else [self.invitation]), *self._calls, *self._spent)

    def find(self, offered: str) -> OnOffer | None:
        """What answers who comes with this token: None is for the invitation. Raises TokenRejected."""
        self.look()
        if self.invitation is not None and _same(offered, self.invitation):
            if self._pending is not None:
                raise TokenRejected(503, "somebody is joining by this link at this moment: try again in a moment")
            return None
        found = [on_offer for each, on_offer in self._calls.items() if _same(offered, each)]
        if found:
            return found[0]
        spent = [each for each in self._spent if _same(offered, each)]
        if spent:
            raise TokenRejected(410, "the link was used for a call already, or has expired: ask for a new link")
        raise TokenRejected(403, "the token is not the receiver's: copy the whole join URL again")

    def admit(self, on_resume: OnOffer, call: str | None = None) -> str:
        """The token of a call that is about to begin: `begin` or `end` is to follow. `call`: the one it has already."""
        if call is None:
            call = self._pending = new_token()
        self._calls[call] = on_resume
        return call

    def begin(self, call: str) -> None:
        """The caller is there: the invitation that brought it is spent."""
        if call == self._pending and self.invitation is not None:
            self._spent.append(self.invitation)
            self._pending = None
            self._invite_another()
        self.on_change()

    def end(self, call: str) -> None:
        """The call is over, or never came about; then the invitation holds."""
        if call == self._pending:
            self._pending = None
        if self._calls.pop(call, None) is not None:
            self._spent.append(call)
        self.on_change()

    def look(self) -> None:
        """Ends an invitation that nobody has used in time; nothing happens while somebody joins."""
        if self.invitation is not None and self._pending is None and self._too_old():
            self._spent.append(self.invitation)
            self._invite_another()
            self.lapsed = self.invitation is None
            self.on_change()

    def restore(self, calls: Mapping[str, OnOffer]) -> None:
        """Takes in the tokens of calls of before this program was started again, with what answers their callers."""
        self._calls.update(calls)

    def _invite_another(self) -> None:
        self.invitation, self.invited_at = new_token() if self._more else None, self._clock()

    def _too_old(self) -> bool:
        now = self._clock()
        self.invited_at = min(self.invited_at, now)  # a clock that was set back does not make it last longer
        return now - self.invited_at >= self.lasts


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


async def expire(tokens: AccessTokens, look: float = LOOK_SECONDS) -> None:
    """Has a new link told for every one that was not used in time, until cancelled.

    Raises SignallingError when nobody can join any more, nor is in a call.
    """
    while True:
        await asyncio.sleep(look)
        tokens.look()
        if tokens.lapsed and not tokens.calls:
            raise SignallingError(
                f"nobody called within {tokens.lasts / 3600:g} hours, and the join link has expired: start the "
                "receiver again for a new link"
            )
