"""What is always written on the picture: that it is drawn, what from, and whether the face was changed in the call."""

from __future__ import annotations

from receiver.display import MARK
from shared.session.hello import SourceKind

_FROM: dict[SourceKind, str] = {
    "file": " from a file, not a camera",
    "sample": " from a sample, not a camera",
    "virtual": " from a virtual camera, not a real one",
}


def origin(kind: SourceKind) -> str:
    """What follows the word for a drawn picture: where it comes from; nothing for a camera."""
    return _FROM.get(kind, "")


def mark(kind: SourceKind, changed: float | None = None) -> str:
    """The mark of a call whose pictures come from `kind`; `changed`: seconds into the call when the face changed."""
    always = MARK + origin(kind)
    return always if changed is None else f"{always}; {face_changed(changed)}"


def announcement(kind: SourceKind) -> str:
    """The same for the line that says a call is on; empty for a camera."""
    return f" ({origin(kind).strip()})" if origin(kind) else ""


def face_changed(seconds: float) -> str:
    """That the face changed so many seconds into the call."""
    minutes, rest = divmod(round(seconds), 60)
    return f"FACE CHANGED {minutes}:{rest:02d} into the call"
