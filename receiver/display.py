"""The window that shows the reconstructed person, marked as such."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

MARK = "reconstructed"
"""Always on the picture: what is shown is synthetic."""
STATUS_HEIGHT = 22
SMALLEST_WIDTH = 512
"""Pixels; a smaller picture is enlarged so that the status line fits."""
FONT = cv2.FONT_HERSHEY_SIMPLEX
CLOSE_KEYS = (ord("q"), ord("Q"), 27)


class DisplayError(Exception):
    """No window can be opened; the message says why and what to do."""


class Window:
    """A window of this desktop. All calls from one thread, the main one on macOS."""

    def __init__(self, mark: str = MARK, title: str = "Pinhole") -> None:
        """`mark` stays on the picture. Raises DisplayError if there is no desktop to open a window on."""
        require_display(os.environ)
        self._title, self._mark = title, mark
        self._open = False

    def show(self, rgb: NDArray[np.uint8], status: str) -> bool:
        """Draw an (H, W, 3) uint8 RGB picture over a status line; False once the user pressed q or Esc or closed it.

        Raises DisplayError if this OpenCV was built without windows.
        """
        try:
            if self._open and cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1:
                return False
            if not self._open:
                cv2.namedWindow(self._title, cv2.WINDOW_AUTOSIZE | cv2.WINDOW_GUI_NORMAL)  # no toolbar
            cv2.imshow(self._title, cv2.cvtColor(compose(rgb, status, self._mark), cv2.COLOR_RGB2BGR))
            self._open = True
            return cv2.waitKey(1) & 0xFF not in CLOSE_KEYS
        except cv2.error as error:
            raise DisplayError(
                "OpenCV cannot open a window here; install opencv-python (not headless) or record to a file."
            ) from error

    def close(self) -> None:
        """Take the window away."""
        if self._open:
            self._open = False
            cv2.destroyAllWindows()
            cv2.waitKey(1)  # Qt closes only when events are handled


def compose(rgb: NDArray[np.uint8], status: str, mark: str = MARK) -> NDArray[np.uint8]:
    """The picture, enlarged to at least 512 pixels' width, with mark and status line: (H', W', 3) uint8 RGB."""
    height, width = rgb.shape[:2]
    scale = max(1.0, SMALLEST_WIDTH / width)
    picture = cv2.resize(rgb, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_CUBIC)
    canvas = np.zeros((picture.shape[0] + STATUS_HEIGHT, picture.shape[1], 3), np.uint8)
    canvas[: picture.shape[0]] = picture
    at = (8, 18)
    cv2.putText(canvas, mark, at, FONT, 0.45, (0, 0, 0), 3, cv2.LINE_AA)  # dark edge: legible on any background
    cv2.putText(canvas, mark, at, FONT, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    printable = status.encode("ascii", "replace").decode()  # OpenCV's font has no other letters
    cv2.putText(canvas, printable, (8, canvas.shape[0] - 7), FONT, 0.38, (200, 200, 200), 1, cv2.LINE_AA)
    return canvas


def require_display(environment: Mapping[str, str], platform: str = sys.platform) -> None:
    """Raises DisplayError if no X server answers on Linux, where OpenCV would end the whole process."""
    if platform != "linux":
        return
    display = environment.get("DISPLAY", "")
    if not display:
        raise DisplayError("there is no display (DISPLAY is not set); record to a file with --out instead.")
    host, _, rest = display.rpartition(":")
    number = rest.partition(".")[0]
    if not number.isdecimal() or not _answers(host, int(number)):
        raise DisplayError(f"no display answers at DISPLAY={display}; record to a file with --out instead.")


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
