"""A half of a call that first finds out, over the same link, who is at the other end and whether anybody sits between.

Its own messages are kept from the half inside; all others go to it as they come.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import date

from shared.call.loop import Half, Outgoing
from shared.codec import MalformedControl
from shared.codec.control import Proof, pack_control, unpack_control
from shared.files import PrivateFileError
from shared.transport.link import Channel, Fingerprints, Link
from shared.trust.contacts import Judgement
from shared.trust.identity import Trust
from shared.trust.short_authentication_string import NONCE_BYTES, Verification

PATIENCE = 15.0
"""Seconds after which a side that has given no words is said to give none; three messages pass any link until then."""


class Verified:
    """A `Half` around another one. It begins anew by itself whenever the link has another connection below."""

    def __init__(
        self,
        half: Half,
        fingerprints: Callable[[], Fingerprints | None],
        trust: Trust,
        say: Callable[[str], None],
        *,
        offerer: bool,
        nonce: Callable[[int], bytes] = os.urandom,
        today: Callable[[], date] = date.today,
    ) -> None:
        """`fingerprints`: of the present connection, None if it is not encrypted: then nothing is verified.

        `say` tells the user; `offerer`: whether this side made the connection's offer.
        """
        self._half, self._fingerprints, self._trust, self._say = half, fingerprints, trust, say
        self._offerer, self._random, self._today = offerer, nonce, today
        self._connection: Fingerprints | None = None
        self._verification: Verification | None = None
        self._out: list[Outgoing] = []
        self._deadline: float | None = None
        self._met: tuple[bytes | None] | None = None  # whom this call was begun with, once that is known
        self._warnings: list[str] = []
        self.compared = False
        """Whether the user has compared the words, of this connection or of an earlier call with the same person."""

    @property
    def words(self) -> tuple[str, ...] | None:
        """Four words that the other side sees too; None while they are not known, or not to be believed."""
        return None if self._verification is None else self._verification.words

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was wrong with the other side in this call, as sentence parts."""
        return tuple(self._warnings)

    @property
    def banner(self) -> tuple[str, ...]:
        """Short lines for a window: the newest warning, and the words until they were compared."""
        warning = [f"WARNING: {self._warnings[-1].partition(': ')[0]}"] if self._warnings else []
        words = [] if self.words is None or self.compared else [f"words: {_together(self.words)}"]
        return (*warning, *words)

    def state(self) -> dict[str, object]:
        """The same as JSON can hold it, for a page."""
        return {"words": list(self.words or ()), "compared": self.compared, "warnings": list(self._warnings)}

    def compare(self) -> None:
        """The user has compared the words and found them the same: the key is kept as compared."""
        if self._verification is None or self.words is None or self.compared:
            return
        self.compared = True
        self._say("the words were compared: nobody sits between")
        try:
            self._trust.compare(self._verification.key)
        except PrivateFileError as error:
            self._say(f"this will not be known next time: {error}")

    def restart(self, connection: Fingerprints, now: float) -> None:
        """Verifies another connection of the same call. Called by itself, before its first message is looked at."""
        self._connection = connection
        self._verification = Verification(self._offerer, connection, self._random(NONCE_BYTES), self._trust.signer)
        self._out = []
        self._deadline = now + PATIENCE
        self._send(self._verification.begin())

    def receive(self, channel: Channel, data: bytes, now: float) -> None:
        """See `Half`."""
        self._follow(now)
        proof = _proof(data) if channel is Channel.CONTROL else None
        if proof is None:
            self._half.receive(channel, data, now)
        elif self._verification is not None and not self._verification.over:
            self._send(self._verification.take(proof))
            if self._verification.over:
                self._conclude(self._verification)

    def tick(self, now: float, link_queued: int) -> list[Outgoing]:
        """See `Half`."""
        self._follow(now)
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            self._say(
                "no words came from the other side: its Pinhole is older, or somebody keeps them back; nobody can "
                "tell who listens"
            )
        out, self._out = self._out, []
        return out + self._half.tick(now, link_queued)

    def finish(self, reason: str, now: float) -> list[Outgoing]:
        """See `Half`."""
        return self._half.finish(reason, now)

    @property
    def peer_bye(self) -> str | None:
        """See `Half`."""
        return self._half.peer_bye

    def _follow(self, now: float) -> None:
        connection = self._fingerprints()
        if connection is not None and connection != self._connection:
            self.restart(connection, now)

    def _send(self, proofs: list[Proof]) -> None:
        self._out += [(Channel.CONTROL, pack_control(proof)) for proof in proofs]

    def _conclude(self, verification: Verification) -> None:
        self._deadline = None
        if verification.broken is not None:
            self._warn(f"somebody is tampering with this call: {verification.broken}. Do not trust it")
        elif self._met is None:
            self._met = (verification.key,)
            self._introduce(self._judge(verification.key))
        else:
            self._recognise(self._met[0], verification.key)

    def _judge(self, key: bytes | None) -> Judgement:
        try:
            return self._trust.meet(key, self._today())
        except PrivateFileError as error:
            return Judgement(f"nobody is recognised: {error}")

    def _introduce(self, judgement: Judgement) -> None:
        """The first connection of the call is verified."""
        self.compared = judgement.compared
        if judgement.alarm:
            self._warn(judgement.text)
        self._ask()
        if judgement.text and not judgement.alarm:
            self._say(judgement.text)

    def _recognise(self, before: bytes | None, key: bytes | None) -> None:
        """The call goes on over another connection."""
        if key is not None and key == before:
            return
        self.compared = False
        if key != before:
            self._warn("the connection was made anew by somebody with another key: this may be somebody else")
        self._ask()

    def _ask(self) -> None:
        assert self.words is not None
        if self.compared:
            self._say(f"the words of this call: {_together(self.words)}")
            return
        self._say(
            f"read these four words to each other: {_together(self.words)}. If the other side has different ones, hang "
            "up: somebody sits between"
        )

    def _warn(self, text: str) -> None:
        if text not in self._warnings:  # who comes back again and again is as wrong each time
            self._warnings.append(text)
        self._say(f"WARNING: {text}")


def verified(half: Half, link: Link, trust: Trust, say: Callable[[str], None], *, offerer: bool) -> Verified:
    """The half to run over `link` in the place of `half`."""
    return Verified(half, lambda: link.fingerprints, trust, say, offerer=offerer)


def _together(words: tuple[str, ...]) -> str:
    return " ".join(words)


def _proof(data: bytes) -> Proof | None:
    """The message, if it is one of these; whatever else it is, the half inside judges it."""
    try:
        message = unpack_control(data)
    except MalformedControl:
        return None
    return message if isinstance(message, Proof) else None
