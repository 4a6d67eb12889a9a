"""What the two sides tell each other before a connection is made, and whether they fit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, cast, get_args

from shared.errors import PinholeError

PROTOCOL_VERSION = 1
"""Changes with everything on the wire that an older version would misread."""

SOUND = "sound"
"""Capability of a sender: speech may come with the motion. A receiver that does not know of it skips it."""

BASE = "base"
"""Capability 1 of whoever receives: it takes a base layer, in sections of bundles and keys among the pictures. A side
without it is sent none."""

REACTIONS = "reactions"
"""Capability 1 of whoever receives: it performs reactions, the six of `shared.reactions`. A side without it, or with
another number, is sent none."""

RUN = "run"
"""Capability of a sender: a name for this run of its program, by which one that was started again is told."""

Role = Literal["sender", "receiver", "both"]
SourceKind = Literal["camera", "file", "sample", "virtual"]
Capability = bool | int | float | str

MIN_FPS, MAX_FPS = 0.1, 120.0
"""No recording could hold what is slower."""

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_HASH = re.compile(r"[0-9a-f]{8,64}")
_MAX_CAPABILITIES = 32
_MAX_TEXT = 64
_VIRTUAL = "virtual_camera"
"""Capability that turns the kind `file` into `virtual`: an older side, which knows no such kind, marks it as a file."""


class MalformedHello(ValueError):
    """A hello that is not one. The text says which field, and what was expected."""


class Incompatible(PinholeError, ValueError):
    """Two sides that cannot call each other. The text reads the same on both and says what to do."""


@dataclass(frozen=True)
class Hello:
    """One side of a call, as it introduces itself. `check` compares two."""

    engine: str
    """Name of the motion network and generator family, `compact` for one."""
    engine_hash: str
    """8 to 64 hexadecimal digits: hash of everything the wire depends on."""
    role: Role
    source_kind: SourceKind
    """Where the pictures come from; all but `camera` are marked on the other side's screen."""
    fps: float
    """Frames per second captured, MIN_FPS to MAX_FPS."""
    keypoints: int
    """Keypoints of a motion, 1..256."""
    picture_size: int
    """Side of a source picture in pixels, 16..2048."""
    capabilities: Mapping[str, Capability] = field(default_factory=dict)
    """What else this side can do; unknown keys are ignored by the other."""
    version: int = PROTOCOL_VERSION

    @property
    def takes_base(self) -> bool:
        """Whether a base layer may be sent to this side."""
        return self.capabilities.get(BASE) == 1

    @property
    def takes_reactions(self) -> bool:
        """Whether reactions may be sent to this side."""
        return self.capabilities.get(REACTIONS) == 1

    def to_dict(self) -> dict[str, Any]:
        """The hello as values JSON can hold; `from_dict` reads it."""
        kind, capabilities = self.source_kind, dict(self.capabilities)
        if kind == "virtual":
            kind, capabilities[_VIRTUAL] = "file", True
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return values | {"source_kind": kind, "capabilities": capabilities}

    @staticmethod
    def from_dict(data: object) -> Hello:
        """The hello in decoded JSON from the network. Unknown fields are ignored. Raises MalformedHello."""
        if not isinstance(data, dict):
            raise MalformedHello(f"a hello is a JSON object, not {type(data).__name__}")
        kind = cast(SourceKind, _one_of(data, "source_kind", get_args(SourceKind)))
        capabilities = _capabilities(data.get("capabilities", {}))
        if capabilities.pop(_VIRTUAL, False) and kind == "file":
            kind = "virtual"
        return Hello(
            engine=_match(data, "engine", _NAME, "a short lower-case name"),
            engine_hash=_match(data, "engine_hash", _HASH, "8 to 64 hexadecimal digits"),
            role=cast(Role, _one_of(data, "role", get_args(Role))),
            source_kind=kind,
            fps=_fps(data),
            keypoints=_integer(data, "keypoints", 1, 256),
            picture_size=_integer(data, "picture_size", 16, 2048),
            capabilities=capabilities,
            version=_integer(data, "version", 1, 65535),
        )


def check(mine: Hello, theirs: Hello) -> None:
    """Raises Incompatible with the first thing in which the two sides do not fit; engine hashes are compared last."""
    if mine.version != theirs.version:
        old, new = sorted((mine.version, theirs.version))
        raise Incompatible(f"one side speaks Pinhole protocol {old}, the other {new}: update the older side")
    if mine.engine != theirs.engine:
        one, other = sorted((mine.engine, theirs.engine))
        raise Incompatible(f"one side runs engine {one!r}, the other {other!r}: start both with the same --engine")
    if mine.engine_hash != theirs.engine_hash:
        one, other = sorted((mine.engine_hash[:8], theirs.engine_hash[:8]))
        raise Incompatible(
            f"the two sides have different weights of engine {mine.engine!r} ({one} and {other}): "
            "update both to the same version of Pinhole, or use the same weights file"
        )


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return f"a {type(value).__name__}"  # its text may be long, and nested deeper than repr can go
    text = repr(value)
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "…"


def _match(data: dict[str, Any], name: str, pattern: re.Pattern[str], expected: str) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise MalformedHello(f"{name} is {_shown(value)}, expected {expected}")
    return value


def _one_of(data: dict[str, Any], name: str, allowed: tuple[str, ...]) -> str:
    value = data.get(name)
    if not isinstance(value, str) or value not in allowed:
        raise MalformedHello(f"{name} is {_shown(value)}, expected one of {', '.join(allowed)}")
    return value


def _integer(data: dict[str, Any], name: str, low: int, high: int) -> int:
    value: Any = data.get(name)
    if type(value) is not int or not low <= value <= high:  # True is an int too
        raise MalformedHello(f"{name} is {_shown(value)}, expected a whole number from {low} to {high}")
    return value


def _fps(data: dict[str, Any]) -> float:
    value: Any = data.get("fps")
    if type(value) not in (int, float) or not MIN_FPS <= value <= MAX_FPS:
        raise MalformedHello(f"fps is {_shown(value)}, expected a number from {MIN_FPS:g} to {MAX_FPS:g}")
    return float(value)


def _capabilities(value: object) -> dict[str, Capability]:
    if not isinstance(value, dict) or len(value) > _MAX_CAPABILITIES:
        raise MalformedHello(f"capabilities is {_shown(value)}, expected an object of at most {_MAX_CAPABILITIES}")
    for name, each in value.items():
        if not _NAME.fullmatch(name):
            raise MalformedHello(f"a capability is named {_shown(name)}, expected a short lower-case name")
        short = isinstance(each, str) and len(each) <= _MAX_TEXT
        bounded = isinstance(each, bool | int | float) and abs(each) < 2**53  # NaN fails this too
        if not (short or bounded):
            raise MalformedHello(f"capability {name} is {_shown(each)}, expected a number, true, false or a short text")
    return dict(value)
