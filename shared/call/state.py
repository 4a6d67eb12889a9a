"""What a side of a call keeps in a file, so that the call goes on after its program was started again.

It holds secrets: who can read it can take that side's place in the call. So only its owner can.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from shared.files import read_private, write_private
from shared.signalling.links import is_token, parse_link
from shared.signalling.offer_answer import SignallingError
from shared.signalling.tokens import is_access_token

VERSION = 1
LIMIT = 16 * 1024
"""Bytes of a file; a real one has a few hundred."""


class StateError(OSError):
    """A file that holds no state of this side. The text says which, why, and what to do."""


@dataclass(frozen=True)
class ReceiverState:
    """What a receiver keeps."""

    invitation: str | None = None
    """The token in the link it printed."""
    calls: tuple[str, ...] = ()
    """Passes of the calls that can be resumed."""
    room: str | None = None
    """Secret of its room on a rendezvous server."""
    port: int | None = None
    """The one it listened on."""
    invited_at: float | None = None
    """When the invitation was made, in seconds since 1970; None in files of before it was kept."""


@dataclass(frozen=True)
class SenderState:
    """What a sender keeps."""

    peer: str
    """Names the link that the call was made by, without telling it: `peer_name`."""
    link: str
    """The link that resumes the call."""


def peer_name(peer: str) -> str:
    """A name for a join link that does not tell it."""
    return hashlib.sha256(b"pinhole peer " + peer.strip().encode()).hexdigest()


def read_receiver(path: Path) -> ReceiverState | None:
    """What was kept; None if nothing was yet. Raises StateError and PrivateFileError."""
    data = _read(path, "receiver", ReceiverState)
    if data is None:
        return None
    invitation, calls, room, port, at = (data[each.name] for each in fields(ReceiverState))
    right = (
        (invitation is None or is_access_token(invitation))
        and isinstance(calls, list)
        and len(calls) <= 64
        and all(map(is_access_token, calls))
        and (room is None or (isinstance(room, str) and is_token(room)))
        and (port is None or (type(port) is int and 0 < port < 1 << 16))
        and (at is None or (type(at) in (int, float) and math.isfinite(at)))
    )
    if not right:
        raise _damaged(path)
    return ReceiverState(invitation, tuple(calls), room, port, at)


def read_sender(path: Path) -> SenderState | None:
    """What was kept; None if nothing was yet. Raises StateError and PrivateFileError."""
    data = _read(path, "sender", SenderState)
    if data is None:
        return None
    try:
        right = isinstance(data["peer"], str) and bool(parse_link(data["link"]))
    except (SignallingError, AttributeError, TypeError):
        right = False
    if not right:
        raise _damaged(path)
    return SenderState(data["peer"], data["link"])


def write_state(path: Path, state: ReceiverState | SenderState) -> None:
    """Keeps a state in the place of an older one, readable by its owner alone. Raises PrivateFileError."""
    side = "receiver" if isinstance(state, ReceiverState) else "sender"
    data = json.dumps({"pinhole": side, "version": VERSION} | asdict(state)).encode()
    write_private(path, data)


def forget_state(path: Path) -> None:
    """Removes what was kept, if there is anything: the call is over."""
    path.unlink(missing_ok=True)


def _read(path: Path, side: str, kind: type[ReceiverState] | type[SenderState]) -> dict[str, Any] | None:
    text = read_private(path)
    if text is None:
        return None
    try:
        data = json.loads(text) if len(text) <= LIMIT else None
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict) or data.get("pinhole") not in ("sender", "receiver"):
        raise _damaged(path)
    if data["pinhole"] != side:
        raise StateError(f"'{path}' holds the state of a {data['pinhole']}, this is a {side}: give each its own file")
    if data.get("version") != VERSION:
        raise StateError(
            f"'{path}' is of version {str(data.get('version'))[:8]}, this program reads {VERSION}: remove it"
        )
    data.setdefault("invited_at", None)
    if not all(each.name in data for each in fields(kind)):
        raise _damaged(path)
    return data


def _damaged(path: Path) -> StateError:
    return StateError(f"'{path}' is no state of a call, or a damaged one: remove it, or choose another place")
