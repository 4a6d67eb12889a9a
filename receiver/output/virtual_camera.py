"""The drawn pictures as a webcam that other programs of this machine can choose, through `pyvirtualcam`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

import cv2
import numpy as np

from receiver.output.window import MARK, draw_mark
from shared.models.engine import Picture

SIZE = (640, 480)
"""Width and height: programs that list cameras leave out squares more often than this."""
_DRIVERS = {
    "linux": "v4l2loopback is needed: sudo apt install v4l2loopback-dkms && sudo modprobe v4l2loopback devices=1 "
    "exclusive_caps=1",
    "darwin": "OBS Studio 30 or newer brings it: install OBS, start its virtual camera once, and stop it again",
    "win32": "OBS Studio brings it: install OBS from obsproject.com and start its virtual camera once",
}


class VirtualCameraError(Exception):
    """There is no virtual camera; the message says why and what to do."""


class Device(Protocol):
    """The part of pyvirtualcam.Camera that is used here."""

    @property
    def device(self) -> str: ...
    def send(self, frame: Any) -> None: ...
    def close(self) -> None: ...


class VirtualCamera:
    """Sends pictures to other programs, marked as synthetic like those in the window."""

    def __init__(
        self, fps: float, mark: str = MARK, name: str | None = None, open_device: Callable[..., Device] | None = None
    ) -> None:
        """`name` of the device, None for the first that is free. Raises VirtualCameraError."""
        self.mark = mark
        """On every picture."""
        try:
            opened = (open_device or _library().Camera)(width=SIZE[0], height=SIZE[1], fps=fps, device=name)
        except (RuntimeError, ValueError, OSError) as error:
            raise VirtualCameraError(f"no virtual camera can be opened ({_brief(error)}); {driver()}.") from error
        self._device: Device = opened

    @property
    def name(self) -> str:
        """What other programs list it as."""
        return self._device.device

    @staticmethod
    def check(name: str | None = None) -> None:
        """Raises VirtualCameraError for what could not be opened later, before anybody calls."""
        VirtualCamera(25.0, name=name).close()

    def show(self, rgb: Picture) -> None:
        """Sends an (H, W, 3) uint8 RGB picture. Raises VirtualCameraError if the device refuses it."""
        frame = letterbox(rgb, *SIZE)
        draw_mark(frame, self.mark)
        try:
            self._device.send(frame)
        except (RuntimeError, ValueError, OSError) as error:
            raise VirtualCameraError(f"the virtual camera stopped ({_brief(error)}); start the call again.") from error

    def close(self) -> None:
        """Takes the camera away from other programs."""
        self._device.close()


def letterbox(rgb: Picture, width: int, height: int) -> Picture:
    """(height, width, 3): the whole picture as large as it fits, black beside it."""
    scale = min(width / rgb.shape[1], height / rgb.shape[0])
    inner = (round(rgb.shape[1] * scale), round(rgb.shape[0] * scale))
    canvas = np.zeros((height, width, 3), np.uint8)
    x, y = (width - inner[0]) // 2, (height - inner[1]) // 2
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    canvas[y : y + inner[1], x : x + inner[0]] = cv2.resize(rgb, inner, interpolation=method)
    return canvas


def driver(platform: str | None = None) -> str:
    """Which driver a virtual camera needs, and how to have it, as part of a sentence."""
    platform = sys.platform if platform is None else platform
    return _DRIVERS.get(platform, "pyvirtualcam knows no driver for this system: record to a file with --out instead")


def _library() -> Any:
    try:
        return import_module("pyvirtualcam")
    except ImportError as error:
        raise VirtualCameraError(
            f"--virtual-camera needs pyvirtualcam: pip install 'pinhole[camera]'; then a driver, too: {driver()}."
        ) from error


def _brief(error: BaseException) -> str:
    """The first sentence of an error."""
    return str(error).strip().split("\n")[0].split(". ")[0].rstrip(".:") or type(error).__name__
