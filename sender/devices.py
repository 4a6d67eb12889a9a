"""Devices: which cameras and microphones there are, which one a name means, and opening a camera.

What a camera is asked for, what is tried next when it gives nothing, and what is said of it.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np

from sender.video4linux import Mode, is_virtual, modes_of, takes_pictures
from shared.audio import echo
from shared.audio.devices import SoundDeviceError, names

log = logging.getLogger(__name__)
FIRST_READS = 3
"""Pictures that a camera may fail to give right after it was set up."""
PROBED = 5
"""Numbers tried where the system does not say which cameras there are."""


class CameraError(Exception):
    """A camera cannot be had; the message says what was asked for and tried, what is wrong and what to do."""


class CameraDevice(Protocol):
    """The part of cv2.VideoCapture that is used here."""

    def isOpened(self) -> bool: ...
    def read(self) -> tuple[bool, Any]: ...
    def get(self, propId: int) -> float: ...
    def set(self, propId: int, value: float) -> bool: ...
    def release(self) -> None: ...


class Setting(NamedTuple):
    """What a camera is asked for; it may give something near."""

    pixels: str
    """Four letters of the pixel format; empty: its own choice."""
    width: int
    height: int
    fps: int

    def __str__(self) -> str:
        return f"{self.pixels or 'any format'} {self.width}x{self.height} at {self.fps}"


SETTINGS = (
    Setting("MJPG", 640, 480, 30),  # a tenth of what raw pictures take on the cable: works behind hubs, too
    Setting("YUYV", 640, 480, 30),
    Setting("MJPG", 1280, 720, 30),
    Setting("YUYV", 640, 480, 15),  # in poor light, or on a cable that is full
    Setting("", 640, 480, 25),
    Setting("", 1280, 720, 15),
)
"""In order; the first that gives a picture is taken. A larger picture than 640x480 only costs: the head is sent at
256 pixels."""
Opener = Callable[[int], CameraDevice]


def open_camera(number: int, name: str, opener: Opener = cv2.VideoCapture) -> CameraDevice:
    """The camera, giving pictures. Each setting that fails is logged once. Raises CameraError if all do."""
    _require_node(number, name)
    tried: list[str] = []
    for setting in SETTINGS:
        if tried:
            log.warning("%s gives no picture as %s; trying %s.", name, tried[-1], setting)
        device = opener(number)  # opened anew each time: a stream that has failed often stays so
        with ExitStack() as opened:
            opened.callback(device.release)
            if not device.isOpened():
                break
            _set(device, setting)
            if any(_gives_picture(device) for _ in range(FIRST_READS)):
                opened.pop_all()
                return device
        tried.append(str(setting))
    if not tried:
        raise CameraError(f"{name} cannot be opened: it is missing, {_held_back()}.")
    raise CameraError(
        f"{name} opens but gives no picture (tried {', '.join(tried)}): it is switched off, covered, {_held_back()}."
    )


def _set(device: CameraDevice, setting: Setting) -> None:
    if setting.pixels:  # before the size: many drivers list sizes by format
        device.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*setting.pixels))
    device.set(cv2.CAP_PROP_FRAME_WIDTH, setting.width)
    device.set(cv2.CAP_PROP_FRAME_HEIGHT, setting.height)
    device.set(cv2.CAP_PROP_FPS, setting.fps)


def _gives_picture(device: CameraDevice) -> bool:
    try:
        ok, bgr = device.read()
    except cv2.error:  # a frame cut short that cannot be decoded
        return False
    return bool(ok) and bgr is not None and np.ndim(bgr) == 3 and np.size(bgr) > 0


def _require_node(number: int, name: str) -> None:
    """Says what Linux knows before OpenCV says less."""
    if sys.platform != "linux":
        return
    node = Path(f"/dev/video{number}")
    if not node.exists():
        raise CameraError(f"{name} is not there (no {node}); plug it in, see --list-devices, or use a file or sample.")
    if not os.access(node, os.R_OK | os.W_OK):
        raise CameraError(f"{name} may not be used by you ({node}): sudo usermod -aG video $USER, then log in again.")


def _held_back() -> str:
    if sys.platform == "darwin":
        return "used by another program, or not permitted (System Settings, Privacy & Security, Camera)"
    if sys.platform == "win32":
        return "used by another program, or not permitted (Settings, Privacy, Camera)"
    return "or used by another program (fuser /dev/video* names it)"


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
