from __future__ import annotations

import io

import cv2
import numpy as np
import pytest

from shared.rendezvous.rooms import room_code
from shared.signalling.links import RoomLink, show_qr

LINK = str(RoomLink("https://meet.example.org", "", room_code("a"), bytes(range(16))))
DARK_ABOVE_BELOW = {"█": (0, 0), "▀": (0, 1), "▄": (1, 0), " ": (1, 1)}
"""What is painted is light, on a terminal with a light ground too."""
WHITE_ON_BLACK, USUAL = "\x1b[38;5;231;48;5;16m", "\x1b[0m"


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_code_in_the_terminal_says_the_link() -> None:
    pytest.importorskip("segno", reason="segno is not installed")
    screen = Screen()
    show_qr(LINK, screen)
    coloured = [line for line in screen.getvalue().splitlines() if line.strip()]
    lines = [line.removeprefix(WHITE_ON_BLACK).removesuffix(USUAL) for line in coloured]
    assert all(line == f"{WHITE_ON_BLACK}{plain}{USUAL}" for line, plain in zip(coloured, lines, strict=True))
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
