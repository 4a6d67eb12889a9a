"""What the two sides say to each other before a call, however it is carried: hello and offer, hello and answer.

Hellos are compared on both sides before anything is connected.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from shared.signalling.hello import Hello, Incompatible, MalformedHello, check

logger = logging.getLogger(__name__)

BODY_LIMIT = 64 * 1024
"""Bytes of a request or an answer; a real one has about 3 KB."""

OnOffer = Callable[[Hello, str], Awaitable["tuple[Hello, str] | Answer"]]
"""Takes the sender's hello and SDP, returns the receiver's. May raise Incompatible, Busy or ValueError."""

FOR_GOOD = (403, 409, 410)
"""Statuses of refusals that asking again does not change."""


class Answer(NamedTuple):
    """What the receiver answers, where the call can be resumed."""

    hello: Hello
    sdp: str
    resume: str | None = None
    """The token by which the sender resumes the call; secret."""


class Busy(Exception):
    """The receiver cannot take a call now. The text is what the caller is told."""


class SignallingError(Exception):
    """Joining failed, or nobody can join any more. The text is one sentence for the user."""


class RefusedForGood(SignallingError):
    """Joining was refused, and would be again."""


@dataclass(frozen=True)
class Reply:
    """What the receiver says to an offer."""

    status: int
    """As in HTTP: 200 if `data` holds the answer; if not, `data["error"]` is a sentence."""
    data: dict[str, Any]

    def to_bytes(self) -> bytes:
        """JSON; `read_answer` reads it."""
        return json.dumps(self.data, separators=(",", ":")).encode()


class Answerer:
    """Answers offers, one at a time."""

    def __init__(self, on_offer: OnOffer) -> None:
        self._on_offer = on_offer
        self._answering = False

    async def answer(self, offer: bytes, on_offer: OnOffer | None = None) -> Reply:
        """The answer to what `write_offer` wrote, or a refusal; never raises for what came from the network.

        `on_offer` is asked in the place of the usual one.
        """
        try:
            hello, sdp = _hello_and_sdp(_decode(offer))
        except ValueError as error:
            return refusal(400, str(error))
        if self._answering:
            return refusal(503, "the receiver is answering another call: try again in a moment")
        self._answering = True
        try:
            answer = Answer(*await (on_offer or self._on_offer)(hello, sdp))
        except Incompatible as error:
            return refusal(409, str(error))
        except Busy as error:
            return refusal(503, str(error) or "the receiver is in another call")
        except ValueError as error:
            return refusal(400, str(error))
        except Exception:
            logger.exception("answering an offer failed")
            return refusal(500, "the receiver failed to answer; its log says why")
        finally:
            self._answering = False
        resume = {} if answer.resume is None else {"resume": answer.resume}
        return Reply(200, {"hello": answer.hello.to_dict(), "sdp": answer.sdp} | resume)


def refusal(status: int, sentence: str) -> Reply:
    """A reply that says no, and why."""
    return Reply(status, {"error": sentence} | ({"for_good": True} if status in FOR_GOOD else {}))


def write_offer(hello: Hello, sdp: str) -> bytes:
    """What the sender hands over; `Answerer.answer` takes it."""
    return json.dumps({"hello": hello.to_dict(), "sdp": sdp}, separators=(",", ":")).encode()


def read_answer(
    place: str, answer: bytes, mine: Hello, on_pass: Callable[[str], None] = lambda resume: None
) -> tuple[Hello, str]:
    """The receiver's hello and SDP, from bytes nobody has looked at.

    `on_pass` is told the token by which the call can be resumed, if there is one. Raises SignallingError if it refused,
    does not fit, or is no receiver; `place` says where the bytes came from.
    """
    try:
        data = _decode(answer) if len(answer) <= BODY_LIMIT else None
    except ValueError:
        data = None
    if not isinstance(data, dict) or not ("error" in data or "hello" in data):
        raise SignallingError(f"what answers at {place} is not a Pinhole receiver: check the URL")
    if "error" in data:
        kind = RefusedForGood if data.get("for_good") is True else SignallingError
        raise kind(f"the receiver refused: {clean(str(data['error']))}")
    try:
        theirs, sdp = _hello_and_sdp(data)
        check(mine, theirs)
    except MalformedHello as error:
        raise SignallingError(f"the receiver's answer cannot be understood: {clean(str(error))}") from error
    except Incompatible as error:
        raise RefusedForGood(str(error)) from error
    if isinstance(resume := data.get("resume"), str):
        on_pass(resume)
    return theirs, sdp


def clean(text: str) -> str:
    """Text from the network, fit for a terminal: no control characters, no pages."""
    return "".join(c if c.isprintable() else " " for c in text[:300])


def _decode(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError("the request is not JSON") from error


def _hello_and_sdp(data: Any) -> tuple[Hello, str]:
    if not isinstance(data, dict) or not isinstance(data.get("sdp"), str) or not data["sdp"]:
        raise MalformedHello("a JSON object with hello and sdp was expected")
    return Hello.from_dict(data.get("hello")), data["sdp"]
