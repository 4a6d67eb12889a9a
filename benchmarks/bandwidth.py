"""python -m benchmarks.bandwidth: bytes of a call beside those of x264, and what either looks like. See --help."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any

if not __package__:  # run as a script: Python then looks for modules in this folder, not beside it
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from benchmarks import x264
from benchmarks.loopback import Loopback, Message
from benchmarks.metrics import Picture, luma, ms_ssim, psnr
from receiver.upscale import Bicubic
from sender.__main__ import picture_quality
from sender.capture import SourceError, open_source
from sender.framing import cut, whole_square
from sender.outgoing import OutgoingSettings
from sender.recording import limited
from sender.refresh import DEFAULT_POSE_THRESHOLD, EveryN, PoseMoved, RefreshPolicy
from shared.codec.picture import DEFAULT_QUALITY
from shared.link.base import ACK_SIZE, MAX_USER_DATA, Channel, wire_cost
from shared.link.pacing import FIRST_RATE, PicturePacer
from shared.models.engine import EngineError
from shared.models.registry import ENGINES, load_basis, load_engine
from shared.session.report import write_report

CONSENT_BYTES_PER_SECOND = 39
"""STUN consent checks and their answers, each way (measured: 38 to 40)."""
SETUP_BYTES = (1757, 1714)
"""ICE, DTLS and SCTP until the channels are open, forward and back (measured)."""
SAMPLE_SECONDS = 10.0

ABOUT = """\
Counts the bytes of a Pinhole call of a clip and those of x264 (veryfast, zerolatency, one key frame) for the same
pictures: payload, and on the wire with IPv4 and UDP headers. PSNR and MS-SSIM are on luma, mean over all frames but
the first.
Pinhole's messages are those that both halves of a call send each other; their bytes on the wire are computed from
the message sizes by the formula measured with aiortc, retransmissions not included. A real call reports counted
bytes. x264's are its frames in RTP packets, without RTCP and consent checks. Connection set-up, about 1.7 KB each
way, is in neither.
"""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bandwidth", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    refresh = parser.add_mutually_exclusive_group()
    refresh.add_argument("--freq", type=int, metavar="N", help="send a new source every N frames")
    refresh.add_argument("--pose-threshold", type=float, metavar="DEG", default=DEFAULT_POSE_THRESHOLD,
                         help="send a new source when the head is turned this far from every source held "
                         f"(default: {DEFAULT_POSE_THRESHOLD:g})")  # fmt: skip
    parser.add_argument("--video", default="sample", metavar="FILE", help="its centre square is used "
                        f"(default: the built-in sample, {SAMPLE_SECONDS:g} s)")  # fmt: skip
    parser.add_argument("--seconds", type=float, metavar="S", help="use only this much of the video")
    parser.add_argument("--picture-size", type=int, default=256, choices=(64, 128, 256, 512), metavar="PX")
    parser.add_argument("--picture-quality", type=picture_quality, default=DEFAULT_QUALITY, metavar="Q",
                        help=f"0 to 100, or max for lossless (default: {DEFAULT_QUALITY})")  # fmt: skip
    parser.add_argument("--bundle", type=int, default=5, metavar="N", help="frames of motion a message (default: 5)")
    parser.add_argument("--engine", choices=ENGINES, default="compact")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    return parser.parse_args(arguments)


def wire_bytes(messages: Sequence[Message], seconds: float) -> tuple[int, int]:
    """Bytes on the wire, forward and back, once connected: messages, the SACK of each packet, consent checks."""
    sizes = {way: [m.size for m in messages if m.forward is way] for way in (True, False)}
    acks = {way: ACK_SIZE * sum(ceil(max(size, 1) / MAX_USER_DATA) for size in sizes[way]) for way in sizes}
    consent = round(CONSENT_BYTES_PER_SECOND * seconds)
    forward = sum(map(wire_cost, sizes[True])) + acks[False] + consent
    back = sum(map(wire_cost, sizes[False])) + acks[True] + consent
    return forward, back


def run(args: argparse.Namespace) -> dict[str, Any]:
    """All figures of a video. Raises SourceError, EngineError and ValueError."""
    policy: RefreshPolicy = PoseMoved(args.pose_threshold) if args.freq is None else EveryN(args.freq)
    seconds = SAMPLE_SECONDS if args.seconds is None and args.video == "sample" else args.seconds
    engine = load_engine(args.engine)
    with open_source(args.video) as capture:
        fps = capture.fps
        settings = OutgoingSettings(fps, args.bundle, args.picture_size, args.picture_quality, "none")
        pacer = PicturePacer(later_rate=FIRST_RATE)  # as the sender has it
        call = Loopback(settings, policy, engine, load_basis(args.engine), Bicubic(), pacer)
        pairs = list(call.play(limited(capture, seconds)))
    if len(pairs) < 2:
        raise ValueError(f"'{args.video}' gave {len(pairs)} frames: at least two are needed")
    driving = [cut(picture, whole_square(picture), engine.size) for picture, _ in pairs]
    codecs = {
        "pinhole": _pinhole(call, driving, [drawn for _, drawn in pairs]),
        "x264_floor": _x264(driving, fps, x264.FLOOR_CRF),
        "x264_crf23": _x264(driving, fps, 23),
    }
    return {
        "settings": {
            "video": args.video if args.video == "sample" else Path(args.video).name,
            "refresh": f"pose:{args.pose_threshold:g}" if args.freq is None else f"freq:{args.freq}",
            "picture_size": args.picture_size,
            "picture_quality": args.picture_quality,
            "bundle": args.bundle,
            "engine": args.engine,
        },
        "frames": len(pairs),
        "fps": round(fps, 3),
        "clip_s": round(len(pairs) / fps, 3),
        "side_px": engine.size,
        **codecs,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """0, or 1 with a sentence on stderr."""
    args = parse(arguments)
    try:
        report = run(args)
        print(table(report))
        if args.json is not None:
            write_report(args.json, report)
    except (EngineError, SourceError, ValueError, OSError) as error:
        print(f"python -m benchmarks.bandwidth: {error}", file=sys.stderr)
        return 1
    return 0


def table(report: dict[str, Any]) -> str:
    """The figures for people, and what they mean."""
    s, ours = report["settings"], report["pinhole"]
    lines = [
        f"{s['video']}: {report['frames']} frames, {report['clip_s']:g} s at {report['fps']:g} frames/s, "
        f"{report['side_px']}x{report['side_px']} px; refresh {s['refresh']}, pictures {s['picture_size']} px, "
        f"quality {s['picture_quality']}",
        "",
        f"{'':22}{'payload':>10}{'payload':>11}{'wire out':>11}{'wire back':>11}{'PSNR-Y':>9}{'MS-SSIM-Y':>11}",
        f"{'':22}{'bytes':>10}{'kbit/s':>11}{'kbit/s':>11}{'kbit/s':>11}{'dB':>9}{'':>11}",
    ]
    names = (("pinhole", "Pinhole"), ("x264_floor", "x264 CRF 51 (floor)"), ("x264_crf23", "x264 CRF 23"))
    for key, name in names:
        c = report[key]
        back = "-" if c["wire_kbps_back"] is None else f"{c['wire_kbps_back']:.2f}"
        lines.append(
            f"{name:22}{c['payload_bytes']:>10}{c['payload_kbps']:>11.2f}{c['wire_kbps_out']:>11.2f}{back:>11}"
            f"{c['psnr']:>9.2f}{c['ms_ssim']:>11.4f}"
        )
    kinds = ", ".join(
        f"{kind} {part['bytes']} bytes in {part['messages']} messages" for kind, part in ours["by_kind"].items()
    )
    lines += ["", f"Pinhole's payload: {kinds}.", f"Sources sent: {ours['sources']}.", ""]
    lines += verdict(ours, report["x264_floor"], "x264's floor") + verdict(ours, report["x264_crf23"], "x264 at CRF 23")
    lines.append(
        "Pinhole's wire figures are computed from message sizes, see --help; a real call reports counted ones."
    )
    return "\n".join(lines)


def verdict(ours: dict[str, Any], theirs: dict[str, Any], name: str) -> list[str]:
    """Who needs more bytes and who looks better, in words."""
    payload, wire = theirs["payload_kbps"] / ours["payload_kbps"], theirs["wire_kbps_out"] / ours["wire_kbps_out"]
    psnr_gap, ssim_gap = ours["psnr"] - theirs["psnr"], ours["ms_ssim"] - theirs["ms_ssim"]
    return [
        f"{name} takes {payload:.2f} times Pinhole's payload and {wire:.2f} times its bytes out on the wire; Pinhole's "
        f"PSNR is {abs(psnr_gap):.2f} dB {_better(psnr_gap)}, its MS-SSIM {abs(ssim_gap):.4f} {_better(ssim_gap)}."
    ]


def _better(gap: float) -> str:
    return "better" if gap > 0 else "WORSE"


def _pinhole(call: Loopback, driving: Sequence[Picture], drawn: Sequence[Picture]) -> dict[str, Any]:
    forward = [m for m in call.messages if m.forward]
    by_kind: dict[str, Any] = {str(channel): _part([m for m in forward if m.channel is channel]) for channel in Channel}
    by_kind["control_back"] = _part([m for m in call.messages if not m.forward])
    out, back = wire_bytes(call.messages, call.duration)
    payload = sum(m.size for m in forward)
    return {
        "payload_bytes": payload,
        "payload_kbps": _kbps(payload, call.duration),
        "by_kind": by_kind,
        "wire_bytes_out": out,
        "wire_bytes_back": back,
        "wire_kbps_out": _kbps(out, call.duration),
        "wire_kbps_back": _kbps(back, call.duration),
        "wire_is": "computed from message sizes, consent checks included, connection set-up not",
        "setup_bytes_out": SETUP_BYTES[0],
        "setup_bytes_back": SETUP_BYTES[1],
        "duration_s": round(call.duration, 3),
        "sources": len(call.source_sizes),
        **_quality(driving, drawn),
    }


def _x264(driving: Sequence[Picture], fps: float, crf: int) -> dict[str, Any]:
    coded, seconds = x264.code(driving, fps, crf), len(driving) / fps
    return {
        "crf": crf,
        "payload_bytes": coded.payload_bytes,
        "payload_kbps": _kbps(coded.payload_bytes, seconds),
        "wire_bytes_out": coded.wire_bytes,
        "wire_kbps_out": _kbps(coded.wire_bytes, seconds),
        "wire_kbps_back": None,
        "wire_is": f"RTP packets of up to {x264.RTP_PAYLOAD} payload bytes, {x264.RTP_OVERHEAD} bytes around each",
        "duration_s": round(seconds, 3),
        **_quality(driving, coded.pictures),
    }


def _quality(driving: Sequence[Picture], shown: Sequence[Picture]) -> dict[str, float]:
    pairs = [(luma(a), luma(b)) for a, b in zip(driving, shown, strict=True)][1:]
    return {
        "psnr": round(float(np.mean([psnr(a, b) for a, b in pairs])), 4),
        "ms_ssim": round(float(np.mean([ms_ssim(a, b) for a, b in pairs])), 4),
    }


def _part(messages: Sequence[Message]) -> dict[str, int]:
    return {"messages": len(messages), "bytes": sum(m.size for m in messages)}


def _kbps(size: int, seconds: float) -> float:
    return round(size * 8 / seconds / 1000, 3)


if __name__ == "__main__":
    sys.exit(main())
