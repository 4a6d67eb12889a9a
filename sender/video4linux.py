"""What a camera says of itself on Linux: the few questions of the V4L2 interface that a list needs.

Structures and request numbers are those of linux/videodev2.h; the layout is the same on every architecture.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

Ask = Callable[[int, bytearray], bool]
"""Asks the driver a request; the answer is written into the bytes. False if it has none."""

_CAPABILITY, _FORMAT, _SIZE, _INTERVAL = 0x80685600, 0xC0405602, 0xC02C564A, 0xC034564B
_LENGTHS = {_CAPABILITY: 104, _FORMAT: 64, _SIZE: 44, _INTERVAL: 52}
_CAPTURE, _BY_DEVICE = 0x1, 0x80000000
_DISCRETE = 1
_MOST = 64
"""Answers of one kind at most: a driver that never ends must not hang the list."""
_USUAL_SIZES = ((640, 480), (1280, 720))
"""Of a camera that takes any size within bounds, these are told, if they are in them."""


_DRIVER = slice(0, 16)
"""Where an answer about capabilities has the driver's name, filled up with zeros."""
_NOT_CAMERAS = ("loopback", "akvcam", "vivid", "vcam", "virtual")
"""Parts of the names of drivers whose pictures come from a program: v4l2loopback and its like, test patterns."""


class Mode(NamedTuple):
    """A kind of picture that a camera offers."""

    pixels: str
    """Four letters of the pixel format; empty if it is not known."""
    width: int
    height: int
    rates: tuple[float, ...]
    """Pictures a second, highest first; empty if they are not known."""

    def __str__(self) -> str:
        rates = f" at {', '.join(f'{rate:g}' for rate in self.rates)} fps" if self.rates else ""
        return f"{self.pixels} {self.width}x{self.height}{rates}".strip()


def takes_pictures(node: Path) -> bool | None:
    """Whether a device file is that of a camera's pictures; None if it may not be asked."""
    with _asking(node) as ask:
        return None if ask is None else captures(ask)


def modes_of(node: Path) -> tuple[Mode, ...]:
    """What a camera offers; nothing if it may not be asked."""
    with _asking(node) as ask:
        return () if ask is None else tuple(modes(ask))


def is_virtual(listed: Path, node: Path) -> bool:
    """Whether pictures of a device come from a program: by its entry in the kernel's list, or by its driver's name."""
    if "/devices/virtual/" in listed.resolve().as_posix():  # no hardware behind it
        return True
    with _asking(node) as ask:
        return ask is not None and has_virtual_driver(ask)


def has_virtual_driver(ask: Ask) -> bool:
    """Whether the driver is one of those that pass on what a program gives them."""
    answer = bytearray(_LENGTHS[_CAPABILITY])
    if not ask(_CAPABILITY, answer):
        return False
    name = answer[_DRIVER].split(b"\0")[0].decode("ascii", "replace").casefold()
    return any(part in name for part in _NOT_CAMERAS)


def captures(ask: Ask) -> bool:
    """Whether the driver says that pictures come from here."""
    answer = bytearray(_LENGTHS[_CAPABILITY])
    if not ask(_CAPABILITY, answer):
        return False
    whole, own = struct.unpack_from("=II", answer, 84)
    return bool((own if whole & _BY_DEVICE else whole) & _CAPTURE)


def modes(ask: Ask) -> Iterator[Mode]:
    """Every pixel format, size and rate that the driver offers."""
    for index in range(_MOST):
        answer = bytearray(_LENGTHS[_FORMAT])
        struct.pack_into("=II", answer, 0, index, _CAPTURE)
        if not ask(_FORMAT, answer):
            return
        code = bytes(answer[44:48])
        for width, height in _sizes(ask, code):
            yield Mode(code.decode("ascii", "replace").strip(), width, height, _rates(ask, code, width, height))


def _sizes(ask: Ask, code: bytes) -> Iterator[tuple[int, int]]:
    for index in range(_MOST):
        answer = bytearray(_LENGTHS[_SIZE])
        struct.pack_into("=I4s", answer, 0, index, code)
        if not ask(_SIZE, answer):
            return
        kind, *numbers = struct.unpack_from("=7I", answer, 8)
        if kind == _DISCRETE:
            yield numbers[0], numbers[1]
            continue
        least_x, most_x, _, least_y, most_y, _ = numbers
        yield from (size for size in _USUAL_SIZES if least_x <= size[0] <= most_x and least_y <= size[1] <= most_y)
        return


def _rates(ask: Ask, code: bytes, width: int, height: int) -> tuple[float, ...]:
    rates = set()
    for index in range(_MOST):
        answer = bytearray(_LENGTHS[_INTERVAL])
        struct.pack_into("=I4sII", answer, 0, index, code, width, height)
        if not ask(_INTERVAL, answer):
            break
        kind, seconds, parts = struct.unpack_from("=3I", answer, 16)
        if seconds:
            rates.add(round(parts / seconds, 2))
        if kind != _DISCRETE:  # a range: its shortest interval comes first
            break
    return tuple(sorted(rates, reverse=True))


@contextmanager
def _asking(node: Path) -> Iterator[Ask | None]:
    from fcntl import ioctl  # only Linux and its like have it

    try:
        file = os.open(node, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        yield None
        return

    def ask(request: int, answer: bytearray) -> bool:
        try:
            ioctl(file, request, answer, True)
        except OSError:
            return False
        return True

    try:
        yield ask
    finally:
        os.close(file)
