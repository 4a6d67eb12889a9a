"""What windows of both programs have in common: whether there is a desktop to open one on, and writing on pictures."""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

FONT = cv2.FONT_HERSHEY_SIMPLEX


class DisplayError(Exception):
    """No window can be opened; the message says why and what to do."""


def write(
    canvas: Image, text: str, at: tuple[int, int], scale: float, colour: tuple[int, int, int] = (255, 255, 255)
) -> None:
    """Writes a line that begins at `at` (x, y of its base), in place."""
    printable = text.encode("ascii", "replace").decode()  # OpenCV's font has no other letters
    cv2.putText(canvas, printable, at, FONT, scale, (0, 0, 0), 3, cv2.LINE_AA)  # dark edge: legible on any background
    cv2.putText(canvas, printable, at, FONT, scale, colour, 1, cv2.LINE_AA)


def fitting(text: str, scale: float, room: int) -> float:
    """The scale at which a line is at most `room` pixels wide: the one given, or a smaller one."""
    return min(scale, scale * room / max(text_width(text, scale), 1))


def text_width(text: str, scale: float) -> int:
    """Pixels that a line takes."""
    size, _ = cv2.getTextSize(text, FONT, scale, 1)
    return int(size[0])


def require_display(environment: Mapping[str, str], platform: str = sys.platform) -> None:
    """Raises DisplayError if no X server answers on Linux, where OpenCV would end the whole process."""
    if platform != "linux":
        return
    display = environment.get("DISPLAY", "")
    if not display:
        raise DisplayError("there is no display (DISPLAY is not set); go on without a window, or record with --out.")
    host, _, rest = display.rpartition(":")
    number = rest.partition(".")[0]
    if not number.isdecimal() or not _answers(host, int(number)):
        raise DisplayError(f"no display answers at DISPLAY={display}; go on without a window, or record with --out.")


def _answers(host: str, number: int) -> bool:
    try:
        if host in ("", "unix"):
            for address in (f"\0/tmp/.X11-unix/X{number}", f"/tmp/.X11-unix/X{number}"):
                with socket.socket(socket.AF_UNIX) as local:
                    if local.connect_ex(address) == 0:
                        return True
            return False
        socket.create_connection((host, 6000 + number), timeout=2).close()
    except OSError:
        return False
    return True
