"""The comparison in words: tables that a terminal shows and a README takes, and who wins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.cache import Figures
from benchmarks.codecs import CODECS

OURS = ("ours", "ours_upscaled")
"""Our calls by their names in reports; those of other profiles are called ours_PROFILE."""
BASE_ALONE = "our base layer alone"
_TITLES = {"base_alone": BASE_ALONE, "every_rival": "every codec at once"} | {n: c.title for n, c in CODECS.items()}
_COMPARED = {"psnr": "PSNR", "ms_ssim": "MS-SSIM"}
_JUDGE = {"sharp": "sharpness", "mouth_corr": "mouth", "blink_corr": "blinks", "akd_px": "landmarks px",
          "pose_err_deg": "pose °", "lost": "lost"}  # fmt: skip


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with its columns aligned."""
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]

    def line(cells: Sequence[str]) -> str:
        first, *rest = (cell.ljust(width) if at == 0 else cell.rjust(width)
                        for at, (cell, width) in enumerate(zip(cells, widths, strict=True)))  # fmt: skip
        return "| " + " | ".join([first, *rest]) + " |"

    return "\n".join(map(line, [head, rule, *rows]))


def overview(report: Figures) -> str:
    """Rates and quality: ours, the baseline, our base alone and every codec at our rate."""
    head = ["kbit/s; mean over frames", "payload", "wire out", "wire back", "PSNR", "MS-SSIM", "sharpness", "VMAF"]
    rows = [_row(name_of_ours(report, key), report[key], "payload_kbps", "wire_kbps_out") for key in calls(report)]
    if "face_vid2vid" in report:
        rows.append(_row("face-vid2vid, raw fp16", report["face_vid2vid"], "payload_kbps", "wire_kbps_out"))
    for name, rival in rivals(report).items():
        at = rival["at_our_rate"]
        rows.append(_row(f"{title(name)}{_floor(at['at_floor'], report)}", at, "kbps", "wire_kbps"))
    return markdown(head, rows)


def variants(report: Figures) -> str:
    """On how many clips each variant of a codec is its best at our rate."""
    lines = []
    for name, codec in report["codecs"].items():
        chosen = [f"{variant} ({count:d})" for variant, count in codec["at_our_rate"]["chosen"].items() if count]
        lines.append(f"{title(name)}: {'; '.join(chosen)}.")
    head = f"Best variants at {report['rate']:.1f} kbit/s on the wire, both ways, and on how many clips each:"
    return "\n".join([head, *lines])


def equal_quality(report: Figures) -> str | None:
    """What every codec takes for our MS-SSIM, if there is a call of ours."""
    if "ours" not in report:
        return None
    head = ["kbit/s at our MS-SSIM", "payload", "wire out", "wire back", "times our wire, both ways", "remark"]
    ours = both_ways(report["ours"])
    rows = []
    for name, rival in rivals(report).items():
        at = rival["at_our_quality"]
        times = "-" if at["kbps"] is None else f"{(at['wire_kbps'] + at['wire_kbps_back']) / ours:.2f}"
        notes = [_on_clips("its floor, better than ours", at["below_floor"], report),
                 _on_clips("never as good", at["above_ceiling"], report)]  # fmt: skip
        rows.append([title(name), _number(at["kbps"], 1), _number(at["wire_kbps"], 1),
                     _number(at["wire_kbps_back"], 1), times, "; ".join(filter(None, notes))])  # fmt: skip
    return markdown(head, rows)


def by_kind(report: Figures) -> str | None:
    """Where our bytes go, if there is a call of ours."""
    if "ours" not in report:
        return None
    kinds = list(report["ours"]["wire_bytes_out"])
    rows = []
    for key in calls(report):
        call = report[key]
        for way, figures in (("out", call["wire_bytes_out"]), ("back", call["wire_bytes_back"])):
            rates = [figures[kind] * 8 / call["duration_s"] / 1000 for kind in kinds]
            rows.append([f"{name_of_ours(report, key)}, {way}", *(f"{rate:.2f}" for rate in [*rates, sum(rates)])])
    return markdown(["kbit/s on the wire", *kinds, "all"], rows)


def judged(report: Figures) -> str | None:
    """The judge's figures, if there are any; rivals at our rate, or a little more."""
    if "judge" not in report["base_alone"]["at_our_rate"]:
        return None
    parts = {name_of_ours(report, key): report[key]["judge"] for key in calls(report)}
    for name, rival in rivals(report).items():
        at = rival["at_our_rate"]
        parts[f"{title(name)}{_floor(at['at_floor'], report)}"] = at["judge"]
    rows = [[name, *(_number(judge[key], 3) for key in _JUDGE)] for name, judge in parts.items()]
    return markdown([f"judge{', medians over clips' if 'clips' in report else ''}", *_JUDGE.values()], rows)


def verdicts(report: Figures) -> list[str]:
    """Who needs more bytes and who looks better, a sentence per rival at our rate; losses are called so."""
    if "ours" not in report:
        return []
    ours = report["ours"]
    both = both_ways(ours)
    lines = []
    for name, rival in rivals(report).items():
        at = rival["at_our_rate"]
        theirs = at["wire_kbps"] + at["wire_kbps_back"]
        psnr, ssim = ours["psnr"] - at["psnr"], ours["ms_ssim"] - at["ms_ssim"]
        lines.append(
            f"{title(name)} at {theirs:.1f} kbit/s on the wire ({theirs / both:.2f} times ours"
            f"{_floor(at['at_floor'], report)}): Pinhole's PSNR is {abs(psnr):.2f} dB {_better(psnr)}, "
            f"its MS-SSIM {abs(ssim):.4f} {_better(ssim)}."
        )
    return lines


def clip_verdicts(report: Figures) -> list[str]:
    """On which clips ours is better, by PSNR, MS-SSIM and the judge's figures, and on which it is not."""
    lines = []
    for name, figures in report.get("wins", {}).items():
        for key in figures:
            better, worse = figures[key]["better"], figures[key]["worse"]
            count = len(better) + len(worse)
            lost = f"; WORSE on {', '.join(worse)}" if worse else ""
            lines.append(
                f"{(_COMPARED | _JUDGE)[key]}, against {title(name)}: better on {len(better)} of {count}{lost}"
            )
    return lines


def against_best(report: Figures) -> str | None:
    """Our calls beside the best codec of each clip at the call's own rate, if there are several clips."""
    if not report.get("margins"):
        return None
    head = ["above the best codec at its rate", "wire, both ways", "PSNR, mean", "worst", "above on",
            "MS-SSIM, mean", "worst", "above on"]  # fmt: skip
    rows = []
    for key, margin in report["margins"].items():
        call, clips = report[key], len(report["clips"])
        cells = [f"{both_ways(call):.1f}"]
        for figure, digits in (("psnr", 2), ("ms_ssim", 4)):
            gap = margin[figure]
            cells += [f"{gap['mean']:+.{digits}f}", f"{gap['worst']:+.{digits}f}", f"{gap['above']} of {clips}"]
        rows.append([name_of_ours(report, key), *cells])
    return markdown(head, rows)


def text(report: Figures) -> str:
    """Everything for people."""
    parts = [overview(report), variants(report), against_best(report), by_kind(report), equal_quality(report),
             judged(report), "\n".join(verdicts(report)), "\n".join(clip_verdicts(report)),
             "\n".join(report.get("notes", []))]  # fmt: skip
    return "\n\n".join(part for part in parts if part)


def calls(report: Figures) -> list[str]:
    """Our calls, by their names in a report."""
    return [key for key in report if key.startswith("ours")]


def both_ways(call: Figures) -> float:
    """kbit/s of a call of ours on the wire, out and back together: the rate at which rivals are held against it."""
    return float(call["wire_kbps_out"] + call["wire_kbps_back"])


def rivals(report: Figures) -> dict[str, Figures]:
    """Our base alone and every codec, by their names in reports."""
    return {"base_alone": report["base_alone"], **report["codecs"]}


def title(name: str) -> str:
    """What a rival is called, by its name in reports."""
    return _TITLES[name]


def name_of_ours(report: Figures, key: str) -> str:
    """What a call of ours is called, with its profile, the size of its pictures and what enlarges them."""
    call = report[key]
    upscaler = f" + {call['upscaler']}" if call["upscaler"] else ""
    return f"Pinhole {call['profile']}, {call['picture_size']:g} px{upscaler}"


def _row(name: str, figures: Figures, payload: str, out: str) -> list[str]:
    back = figures.get("wire_kbps_back")
    return [name, _number(figures[payload], 1), _number(figures[out], 1), _number(back, 1),
            _number(figures["psnr"], 2), _number(figures["ms_ssim"], 4), _number(figures["sharp"], 2),
            _number(figures.get("vmaf"), 1)]  # fmt: skip


def _number(value: Any, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _floor(at_floor: int, report: Figures) -> str:
    note = _on_clips("its floor", at_floor, report)
    return f", {note}" if note else ""


def _on_clips(what: str, count: int, report: Figures) -> str:
    """A remark that holds; of several clips, on how many."""
    clips = len(report.get("clips", [0]))
    return "" if not count else what if count == clips else f"{what} on {count} of {clips}"


def _better(gap: float) -> str:
    return "better" if gap > 0 else "WORSE"
