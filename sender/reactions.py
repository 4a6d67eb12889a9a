"""Reactions at the sender: which go, and what this side's own user is told of them."""

from __future__ import annotations

from sender.expression_reader import ExpressionReader
from shared.call.loop import Outgoing
from shared.codec import control
from shared.motion import FloatArray, Motion
from shared.reactions import SECONDS_APART, label_of
from shared.transport.link import Channel

_APART = SECONDS_APART + 0.5
"""Seconds from one to the next: more than the receiver asks for, whose frames may come unevenly."""
_SAID_SECONDS = 3.0
"""That the user reads what became of a key."""


class ReactionsSent:
    """Reactions of this side's user. Times are seconds of any steady clock and passed in."""

    def __init__(self) -> None:
        self.accepted = False
        """Whether the other side takes any: until it is said that it does, none goes."""
        self.sent = 0
        self.reader: ExpressionReader | None = None
        """Where no expression travels: reads it off the face, so that a label goes now and then; set it."""
        self._out: list[Outgoing] = []
        self._label = ""
        self._at = self._said_at = float("-inf")
        self._said = ""

    def react(self, number: int, now: float) -> None:
        """Has this side's person perform an expression at the other end, 1 to 6; soon after another nothing happens.

        Raises ValueError for a number that has none.
        """
        label = label_of(number)
        if now - self._at < _APART:
            return  # the one before is still to be read about
        self._said_at = now
        if not self.accepted:
            self._said = "the other side takes no reactions"
            return
        self._label, self._at, self._said = label, now, f"your reaction: {label}"
        self.sent += 1
        self._out.append((Channel.CONTROL, control.pack_control(control.Reaction(number))))

    def look(self, motion: Motion, canonical: FloatArray, now: float) -> None:
        """Takes in this side's own face; what is read off it goes as if its key were pressed."""
        number = None if self.reader is None or not self.accepted else self.reader.read(motion, canonical, now)
        if number is not None:
            self.react(number, now)

    def messages(self) -> list[Outgoing]:
        """What is to be sent now."""
        out, self._out = self._out, []
        return out

    def told(self, text: str, now: float) -> None:
        """Takes in a note of the other side, which may say that it shows the reaction."""
        if self._label and text == control.PERFORMS + self._label:
            self._said, self._said_at = f"they see your reaction: {self._label}", now
            self._label = ""

    def line(self, now: float) -> str:
        """What the user should know at present; nothing if there is nothing."""
        return self._said if now - self._said_at < _SAID_SECONDS else ""
