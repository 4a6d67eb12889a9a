"""Contact sheets: to see in one picture what the figures do not tell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.metrics import Picture
from shared.resampling import resampled

CELL = 192
_CAPTION = 18
_GAP = 4
_MOMENTS = 4


def moments(psnrs: Sequence[float], count: int = _MOMENTS) -> list[int]:
    """Frames to show, in order: the worst one and others spread over the clip; fewer if the clip is shorter."""
    worst = int(np.argmin(psnrs))
    spread = [round(share * (len(psnrs) - 1)) for share in (0.5, 0.9, 0.2, 0.7, 0.35, 1.0)]
    chosen = [worst]
    for frame in spread:
        if frame not in chosen and len(chosen) < count:
            chosen.append(frame)
    return sorted(chosen)


def row(title: str, source: Picture, pairs: Sequence[tuple[str, Picture, str, Picture]]) -> Picture:
    """One clip: its title, its first source as decoded, and per moment the driving and the drawn picture, labelled."""
    cells = [("source, decoded", source)]
    for driving_label, driving, drawn_label, drawn in pairs:
        cells += [(driving_label, driving), (drawn_label, drawn)]
    cells += [("", np.zeros((CELL, CELL, 3), np.uint8))] * (1 + 2 * _MOMENTS - len(cells))
    return strip(title, cells)


def strip(title: str, cells: Sequence[tuple[str, Picture]]) -> Picture:
    """Captioned square pictures beside each other, under a title."""
    pictures = np.concatenate([_cell(caption, picture) for caption, picture in cells], axis=1)
    return np.concatenate([_text(title, pictures.shape[1]), pictures], axis=0)


def write_sheet(path: Path, rows: Sequence[Picture]) -> None:
    """Writes rows under each other as a PNG. Raises OSError if it cannot be written."""
    picture = cv2.cvtColor(np.concatenate(rows, axis=0), cv2.COLOR_RGB2BGR)
    path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())


def _cell(caption: str, picture: Picture) -> Picture:
    cell = np.concatenate([resampled(picture, CELL), _text(caption, CELL)], axis=0)
    return np.asarray(np.pad(cell, ((0, _GAP), (0, _GAP), (0, 0))), np.uint8)


def _text(text: str, width: int) -> Picture:
    strip = np.zeros((_CAPTION, width, 3), np.uint8)
    cv2.putText(strip, text, (3, _CAPTION - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (235, 235, 235), 1, cv2.LINE_AA)
    return strip
