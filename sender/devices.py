"""Which cameras and microphones there are, and which one a name means.

PyAV lists cameras as well, from version 17 on, but by name alone: neither what a camera offers nor whether it is a
virtual one, which the other side is told; and not by the numbers under which OpenCV opens cameras elsewhere than on
Linux, so that a name could open another camera than the one that was meant.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2

from sender.camera import CameraDevice, CameraError, Opener
from sender.video4linux import Mode, is_virtual, modes_of, takes_pictures
from shared.sound import echo
from shared.sound.devices import SoundDeviceError, names

PROBED = 5
"""Numbers tried where the system does not say which cameras there are."""


@dataclass(frozen=True)
class Camera:
    """A camera of this machine."""

    number: int
    name: str
    """Empty where the system does not tell."""
    modes: tuple[Mode, ...] = ()
    """What it offers; empty where the system does not tell."""
    virtual: bool = False
    """Whether a program gives it its pictures; known on Linux only."""

    @property
    def label(self) -> str:
        """How messages call it."""
        return f"camera {self.number} ({self.name})" if self.name else f"camera {self.number}"


def cameras() -> list[Camera]:
    """The cameras of this machine by number. On other systems than Linux each number is tried, which takes a while."""
    return linux_cameras() if sys.platform == "linux" else probed_cameras()


def linux_cameras(listed: Path = Path("/sys/class/video4linux"), nodes: Path = Path("/dev")) -> list[Camera]:
    """The cameras that the kernel lists; other nodes of a camera, such as for metadata, are left out."""
    found = []
    for entry in sorted(listed.glob("video*"), key=lambda path: _number(path.name)):
        node = nodes / entry.name
        known = takes_pictures(node)
        first = _text(entry / "index") in ("", "0")  # a node that may not be opened: the first is the camera's
        if first if known is None else known:
            offers = modes_of(node) if known else ()
            found.append(Camera(_number(entry.name), _text(entry / "name"), offers, is_virtual(entry, node)))
    return found


def probed_cameras(opener: Opener = cv2.VideoCapture) -> list[Camera]:
    """The cameras among the first numbers that open, with the mode they open in."""
    found = []
    for number in range(PROBED):
        device = opener(number)
        if device.isOpened():
            found.append(Camera(number, "", _mode_of(device)))
        device.release()
    return found


def find_camera(text: str, known: Sequence[Camera]) -> Camera:
    """The camera that a number, a name or a part of a name means. Raises CameraError if none does, or more than one."""
    if text.isdecimal():
        return next((each for each in known if each.number == int(text)), Camera(int(text), ""))
    wanted = text.casefold().strip()
    same = [each for each in known if each.name.casefold() == wanted]
    alike = same or [each for each in known if wanted and wanted in each.name.casefold()]
    if len(alike) == 1:
        return alike[0]
    there = ", ".join(each.label for each in alike or known) or "there is no camera"
    if alike:
        raise CameraError(f"'{text}' names more than one camera ({there}); give the number, such as camera:0.")
    raise CameraError(f"'{text}' names no camera ({there}); write camera:0 for the first, or see --list-devices.")


def listing(found: Sequence[Camera]) -> str:
    """Cameras and microphones for people to read, with what to write to have them."""
    lines = ["cameras (--source camera:N or camera:NAME)"]
    for each in found:
        kind = "  (a virtual camera: the other side is told)" if each.virtual else ""
        lines.append(f"  {each.number}  {each.name or 'camera'}{kind}")
        lines += [f"       {mode}" for mode in each.modes]
    if not found:
        lines.append("  none found; a video file does as well: --source talk.mp4, or --source sample")
    lines += ["microphones (--microphone N or NAME)", *_microphones()]
    lines += ["echo cancellation", f"  {_echo_cancellation()}"]
    return "\n".join(lines)


def _microphones() -> list[str]:
    try:
        found = names("input")
    except SoundDeviceError as error:
        return [f"  {error}"]
    return [f"  {number}  {name}" for number, name in found] or ["  none found"]


def _echo_cancellation() -> str:
    if echo.available():
        return "installed: what the speaker plays in a two-way call is taken out of what the microphone hears"
    return "not installed (pip install 'pinhole[audio]'): wear headphones in a two-way call"


def _mode_of(device: CameraDevice) -> tuple[Mode, ...]:
    width, height, fps = (
        round(device.get(what)) for what in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS)
    )
    return (Mode("", width, height, (float(fps),) if fps > 0 else ()),) if width > 0 else ()


def _number(name: str) -> int:
    digits = name.removeprefix("video")
    return int(digits) if digits.isdecimal() else -1


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
