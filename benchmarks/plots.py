"""Figures of the comparison, drawn from a report alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.cache import Figures
from benchmarks.codecs import H264_CRF
from benchmarks.tables import OURS, both_ways, calls, name_of_ours, rivals, title


class PlotError(Exception):
    """Nothing can be drawn here; the message says what to do."""


def check() -> None:
    """Raises PlotError without matplotlib."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise PlotError("plots need matplotlib: pip install 'pinhole[bench]'") from error


def rate_quality(report: Figures, path: Path) -> None:
    """Rate on the wire against PSNR, MS-SSIM and sharpness: of every rival the best of its variants at each rate, our
    calls, the baseline. Raises OSError.

    A curve begins at the rate that the rival has on all clips, and ends where it has nothing better on one.
    """
    figure, panels = _panels("kbit/s on the wire, both directions, IPv4 and UDP headers included", 3)
    names = {"psnr": "PSNR, dB", "ms_ssim": "MS-SSIM", "sharp": "sharpness of the face over the true one"}
    for panel, (key, name) in zip(panels, names.items(), strict=True):
        for colour, (rival, figures) in enumerate(rivals(report).items()):
            points = [each for each in figures["envelope"] if not each["at_floor"] and not each["beyond"]]
            panel.plot([p["wanted_wire_kbps_both"] for p in points], [p[key] for p in points],
                       "--" if rival == "base_alone" else "-", marker=".", color=f"C{colour}",
                       label=title(rival))  # fmt: skip
        rungs = sorted((report[call] for call in calls(report) if call != "ours_upscaled"), key=both_ways)
        panel.plot([both_ways(each) for each in rungs], [each[key] for each in rungs], ":", color="black")
        for call, marker in zip(calls(report), "*Psdv^<>", strict=False):
            panel.plot(both_ways(report[call]), report[call][key], marker, color="black",
                       markersize=11 if call in OURS else 7, label=name_of_ours(report, call))  # fmt: skip
        if "face_vid2vid" in report:
            baseline = report["face_vid2vid"]
            panel.plot(both_ways(baseline), baseline[key], "X", color="grey", markersize=9,
                       label="face-vid2vid, raw fp16")  # fmt: skip
        _logarithmic(panel.xaxis)
        panel.set_ylabel(name)
    _save(figure, panels[0], path)


def sweep(report: Figures, path: Path) -> None:
    """The seed paper's figure: bytes of 600 frames against the interval between sources. Raises OSError."""
    swept = report["sweep"]
    figure, panels = _panels("frames between sources")
    for panel, key, name in zip(
        panels,
        ("payload_bytes", "wire_bytes_both"),
        ("payload, kB", "on the wire, both directions, kB"),
        strict=True,
    ):
        for call, colour in zip(OURS, ("black", "tab:green"), strict=True):
            if call in swept:
                points = swept[call]
                panel.plot([p["interval"] for p in points], [p[key] / 1000 for p in points], marker="o", color=colour,
                           label=name_of_ours(report, call))  # fmt: skip
        for line, label, colour in (
            ("face_vid2vid", "face-vid2vid, raw fp16", "grey"),
            ("h264_default", f"H.264, CRF {H264_CRF}", "tab:red"),
            ("h264_equal_quality", "H.264 at our MS-SSIM", "tab:blue"),
        ):
            if (level := swept.get(line, {}).get(key)) is not None:
                label += swept[line].get("note", "")
                panel.axhline(level / 1000, linestyle="--", color=colour, label=label)
        _logarithmic(panel.xaxis)
        _logarithmic(panel.yaxis)
        panel.set_ylabel(f"{swept['frames']} frames: {name}")
    _save(figure, panels[0], path)


def sweep_path(plot: Path) -> Path:
    """Where the sweep is drawn beside the other figure."""
    return plot.with_name(f"{plot.stem}_sweep{plot.suffix}")


def _panels(below: str, count: int = 2) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure  # a figure of its own canvas: no window system is touched

    figure = Figure(figsize=(6 * count, 5.5), layout="constrained")
    panels = list(figure.subplots(1, count))
    for panel in panels:
        panel.grid(alpha=0.3, which="both")
    figure.supxlabel(below, fontsize="medium")
    return figure, panels


def _logarithmic(axis: Any) -> None:
    """Makes an axis logarithmic, with its numbers written out."""
    from matplotlib.ticker import LogLocator, NullFormatter

    getattr(axis.axes, f"set_{axis.axis_name}scale")("log")
    axis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 4, 5, 7)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def _save(figure: Any, labelled: Any, path: Path) -> None:
    figure.legend(*labelled.get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize="small")
    figure.savefig(path, dpi=130)
