"""A join link as a QR code in the terminal."""

from __future__ import annotations

import io
from typing import TextIO

_COLOURS, _OWN_COLOURS = "\x1b[38;5;231;48;5;16m", "\x1b[0m"
"""White on black, fixed colours of the palette of 256: on a terminal with a light ground the code would otherwise be
inverted, which many readers cannot read."""


def show_qr(text: str, stream: TextIO) -> None:
    """Prints the code of a text, two rows to a line, where the stream is a terminal; nothing elsewhere."""
    if not stream.isatty():
        return
    import segno  # only where it is seen: it would be loaded for every call otherwise

    drawn = io.StringIO()
    segno.make(text, micro=False, error="l").terminal(drawn, compact=True)
    lines = [f"{_COLOURS}{line}{_OWN_COLOURS}" for line in drawn.getvalue().splitlines() if line]
    print("\n".join(lines), end="\n\n", file=stream, flush=True)
