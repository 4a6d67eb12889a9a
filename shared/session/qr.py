"""A join link as a QR code in the terminal."""

from __future__ import annotations

import io
from typing import TextIO


def show_qr(text: str, stream: TextIO) -> None:
    """Prints the code of a text, two rows to a line, where the stream is a terminal; nothing elsewhere."""
    if not stream.isatty():
        return
    import segno  # only where it is seen: it would be loaded for every call otherwise

    drawn = io.StringIO()
    segno.make(text, micro=False, error="l").terminal(drawn, compact=True)
    print(drawn.getvalue(), file=stream, flush=True)
