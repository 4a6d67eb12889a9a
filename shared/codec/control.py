"""Control messages: small msgpack maps whose key `t` names the type; the other keys are the fields of the dataclasses.

Fields a type does not know are ignored, so that a later release may add some.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import msgpack

from shared.codec import MalformedControl
from shared.reactions import LABELS

MAX_CONTROL_BYTES = 1024
MAX_TEXT = 200
"""Characters of a text field; what is not printable arrives as spaces."""
MAX_SOURCES = 64
NO_FACE, FACE, CAMERA_OFF = "no face", "face", "camera off"
"""Texts of the notes that a sender gives when the person leaves its picture and comes back."""
BUSY, KEEPS_UP = "busy", "keeps up"
"""Texts of the notes that a sender gives when its processor begins to have too much to do, and when that is over:
what comes late then is not the link's fault. An older receiver takes no notice."""
BASE_KEY = "base"
"""Reason of a request for a key of the base layer."""
SENDS = "sends: "
"""Begins the text of a note that says in words what is sent now, as the ladder names it."""

PERFORMS = "performs: "
"""Begins the text of a note with which a receiver says that it has begun to show a reaction, the label after it."""

Check = Callable[[object], bool]


def _integer(bits: int) -> Check:
    # bool is a subclass of int, and is none here.
    return lambda value: type(value) is int and 0 <= value < 1 << bits


def _optional(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT


def _bytes(length: int) -> Check:
    return lambda value: isinstance(value, bytes) and len(value) == length


def _source_ids(value: object) -> bool:
    is_id = _integer(16)
    return isinstance(value, (list, tuple)) and len(value) <= MAX_SOURCES and all(is_id(v) for v in value)


def _checked(check: Check, later: bool = False, **options: Any) -> Any:
    """`later`: the field came after the first release, which does not send it: it is left out while it is None."""
    return field(metadata={"check": check, "later": later}, **options)


@dataclass(frozen=True)
class SourceHeld:
    """The sources the receiver holds."""

    epoch: int = _checked(_integer(8))
    """Gallery epoch that these sources make up."""
    sources: tuple[int, ...] = _checked(_source_ids)
    """16-bit source ids, at most 64."""


@dataclass(frozen=True)
class SourceRequest:
    """The receiver asks for a source, or with BASE_KEY as its reason for a key of the base layer."""

    source: int | None = _checked(_optional(_integer(16)))
    """The id of the one it lacks; None for a fresh one."""
    reason: str = _checked(_text)


@dataclass(frozen=True)
class Stats:
    """What arrived and was shown since the call began, every 2 s."""

    received: int = _checked(_integer(32))
    """Frames of motion received."""
    shown: int = _checked(_integer(32))
    late: int = _checked(_integer(32))
    """Frames that came too late to be shown."""
    bundles: int = _checked(_integer(32))
    highest_frame: int | None = _checked(_optional(_integer(16)))
    """Newest frame number seen; None before the first."""
    delay_ms: int = _checked(_integer(32))
    """Capture to display, median of the last frames; 0 while the clocks have not been compared."""
    behind_ms: int = _checked(_integer(32))
    """By how much the two newest bundles both came later than the fastest: what waits in the link. From 250 on the
    message comes every 0.7 s."""
    clock_ms: int | None = _checked(_optional(_integer(32)), default=None)
    """The receiver's clock if it asks for the sender's, else None."""
    busy_ms: int | None = _checked(_optional(_integer(32)), default=None, later=True)
    """By how much the receiver's own machine is late, in drawing or in taking in what has come: a processor that has
    too much to do. In `delay_ms`, but neither in `behind_ms` nor in `late`, which are the link's. None: it keeps up."""


@dataclass(frozen=True)
class Heartbeat:
    """Sign of life of the sender, and its answer to a receiver that asks for the time."""

    clock_ms: int = _checked(_integer(32))
    """The sender's clock; it wraps around."""
    echo_ms: int | None = _checked(_optional(_integer(32)), default=None)
    """The `clock_ms` of the statistics that this answers; None if it answers none."""


@dataclass(frozen=True)
class Note:
    """Something the other person should know, such as "no face"."""

    text: str = _checked(_text)


@dataclass(frozen=True)
class Bye:
    """The call ends."""

    reason: str = _checked(_text)


@dataclass(frozen=True)
class BaseHeld:
    """Which key of the base layer the receiver holds, so that packets may follow; only for who sent a base layer."""

    generation: int | None = _checked(_optional(_integer(4)))
    """Of the newest key held; None: nothing can be shown until another one comes."""
    asks: bool = _checked(lambda value: isinstance(value, bool), default=False)
    """Whether a key is needed although this one is held: something is missing that nothing repairs."""


@dataclass(frozen=True)
class Reaction:
    """The sender's person wants to be shown with an expression for a while; only for who takes reactions."""

    number: int = _checked(lambda value: type(value) is int and 1 <= value <= len(LABELS))
    """1 to 6, of `shared.reactions.LABELS`."""


@dataclass(frozen=True)
class Commitment:
    """The offerer is bound to a nonce it does not show yet; see `short_authentication_string` for these three."""

    hash: bytes = _checked(_bytes(32))


@dataclass(frozen=True)
class CommitmentAnswer:
    """The answerer's nonce, and its identity if it has one."""

    nonce: bytes = _checked(_bytes(16))
    key: bytes | None = _checked(_optional(_bytes(32)), default=None)
    """Public key, Ed25519."""
    signature: bytes | None = _checked(_optional(_bytes(64)), default=None)


@dataclass(frozen=True)
class Reveal:
    """The nonce that the offerer was bound to, and its identity if it has one."""

    nonce: bytes = _checked(_bytes(16))
    key: bytes | None = _checked(_optional(_bytes(32)), default=None)
    signature: bytes | None = _checked(_optional(_bytes(64)), default=None)


Proof = Commitment | CommitmentAnswer | Reveal
Control = SourceHeld | SourceRequest | Stats | Heartbeat | Note | Bye | BaseHeld | Reaction | Proof

_TYPES: dict[str, type[Control]] = {
    "held": SourceHeld,
    "request": SourceRequest,
    "stats": Stats,
    "heartbeat": Heartbeat,
    "note": Note,
    "bye": Bye,
    "base": BaseHeld,
    "react": Reaction,
    "commitment": Commitment,
    "answer": CommitmentAnswer,
    "reveal": Reveal,
}
_NAMES = {kind: name for name, kind in _TYPES.items()}


def pack_control(message: Control) -> bytes:
    """The bytes of a message. Raises ValueError if a field is out of range or the whole is above 1 KB."""
    for f in fields(message):
        if not f.metadata["check"](getattr(message, f.name)):
            raise ValueError(f"{_NAMES[type(message)]}.{f.name} cannot be {getattr(message, f.name)!r}")
    left_out = {f.name for f in fields(message) if f.metadata["later"] and getattr(message, f.name) is None}
    content = {name: value for name, value in asdict(message).items() if name not in left_out}
    data: bytes = msgpack.packb({"t": _NAMES[type(message)], **content})
    if len(data) > MAX_CONTROL_BYTES:
        raise ValueError(f"a control message has at most {MAX_CONTROL_BYTES} bytes, this one has {len(data)}")
    return data


def unpack_control(data: bytes) -> Control:
    """The message in `data`. Raises MalformedControl for anything else."""
    if len(data) > MAX_CONTROL_BYTES:
        raise MalformedControl(f"a control message has at most {MAX_CONTROL_BYTES} bytes, {len(data)} arrived")
    try:
        content = msgpack.unpackb(data)
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        raise MalformedControl("a control message arrived that is not msgpack") from error
    name = content.get("t") if isinstance(content, dict) else None
    kind = _TYPES.get(name) if isinstance(name, str) else None
    if kind is None:
        shown = repr(name[:40]) if isinstance(name, str) else "?"  # of lists in lists, which repr cannot show
        raise MalformedControl(f"a control message of unknown type {shown} arrived")
    values: dict[str, Any] = {}
    for f in fields(kind):
        if f.metadata["later"] and f.name not in content:
            continue
        if f.name not in content or not f.metadata["check"](content[f.name]):
            raise MalformedControl(f"a {name} message arrived whose {f.name} is missing or out of range")
        value = content[f.name]
        values[f.name] = tuple(value) if isinstance(value, list) else _shown(value) if isinstance(value, str) else value
    return kind(**values)


def _shown(text: str) -> str:
    """A text that ends up on a terminal, in a window and in reports: without what would steer those."""
    return "".join(c if c.isprintable() else " " for c in text)
