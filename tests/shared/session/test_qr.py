from __future__ import annotations

import io

import cv2
import numpy as np
import pytest

from shared.session.join_link import RoomLink
from shared.session.qr import show_qr
from shared.session.rooms import room_code

LINK = str(RoomLink("https://meet.example.org", "", room_code("a"), bytes(range(16))))
DARK_ABOVE_BELOW = {"█": (0, 0), "▀": (0, 1), "▄": (1, 0), " ": (1, 1)}
"""A terminal is dark: what is painted is light."""


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_code_in_the_terminal_says_the_link() -> None:
    pytest.importorskip("segno", reason="segno is not installed")
    screen = Screen()
    show_qr(LINK, screen)
    lines = [line for line in screen.getvalue().splitlines() if line.strip()]
    assert max(map(len, lines)) <= 80 and len(lines) <= 24
    rows = [[DARK_ABOVE_BELOW[c][half] for c in line] for line in lines for half in (0, 1)]
    width = max(map(len, rows))
    dark = np.array([row + [0] * (width - len(row)) for row in rows], np.uint8)
    seen = np.kron(255 * (1 - dark), np.ones((8, 8), np.uint8)).astype(np.uint8)
    assert cv2.QRCodeDetector().detectAndDecode(np.pad(seen, 32, constant_values=255))[0] == LINK


def test_nothing_where_nobody_looks() -> None:
    stream = io.StringIO()
    show_qr(LINK, stream)
    assert stream.getvalue() == ""
