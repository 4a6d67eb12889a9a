"""Opening a camera: what it is asked for, what is tried next when it gives nothing, and what is said of it."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np

log = logging.getLogger(__name__)

FIRST_READS = 3
"""Pictures that a camera may fail to give right after it was set up."""


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
