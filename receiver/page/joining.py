"""The join link as a QR code that a page can show."""

from __future__ import annotations

import io


def qr_svg(text: str) -> bytes:
    """An SVG of a text's QR code: dark on light whatever the page's colours, since many readers take no other, with the
    quiet zone that the standard asks for."""
    import segno  # only where it is seen, as in the terminal

    drawn = io.BytesIO()
    code = segno.make(text, micro=False, error="m")
    code.save(drawn, kind="svg", border=4, dark="#000", light="#fff", omitsize=True, svgclass=None, lineclass=None)
    return drawn.getvalue()
