"""Our frames beside every codec's at our rate, so that anyone can judge."""

from __future__ import annotations

from benchmarks.cache import Figures
from benchmarks.compare import Comparison
from benchmarks.metrics import Picture, luma, psnr
from benchmarks.sheet import moments, strip
from benchmarks.tables import both_ways, rivals


def rows(comparison: Comparison, report: Figures, count: int) -> list[Picture]:
    """A row for each of `count` moments of a clip, the worst of our call among them, or of our base alone."""
    clip = comparison.clip
    shown = {name: what.pictures() for name, what in comparison.shown.items()}
    looked_at = shown["ours"] if "ours" in shown else shown["base_alone"]
    psnrs = [psnr(luma(a), luma(b)) for a, b in zip(clip.pictures, looked_at, strict=True)][1:]
    made = []
    for moment in moments(psnrs, count):
        frame = moment + 1
        cells = [("camera", clip.pictures[frame])]
        cells += [(_caption(name, report), pictures[frame]) for name, pictures in shown.items()]
        title = f"{clip.name}, frame {frame}; kbit/s on the wire, both directions; * the codec's lowest rate"
        made.append(strip(title, cells))
    return made


def _caption(name: str, report: Figures) -> str:
    if name.startswith("ours"):
        figures = report[name]
        return f"{figures['profile']} {figures['picture_size']} px {both_ways(figures):.1f}"
    at = rivals(report)[name]["at_our_rate"]
    return f"{name} {at['wire_kbps'] + at['wire_kbps_back']:.1f}{'*' if at['at_floor'] else ''}"
