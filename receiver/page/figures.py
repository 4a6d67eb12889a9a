"""A call's figures as the page gets them, beside what the best video codec would have taken."""

from __future__ import annotations

from typing import Any

from receiver.indicators import Indicators

AV1_KBPS = 15.6 + 2.0
"""AV1 out and back on the wire, RTP and RTCP included, where it is as true as a call of the default profile: MS-SSIM
0.936 against 0.937, mean of 12 clips (`benchmarks.bandwidth`, the table in README.md). It is SVT-AV1 preset 8, the best
of four real-time codecs there, in the best of six variants of size and frame rate on each clip. x264 has 0.920 at that
rate. It is not measured on the call shown."""


def figures(indicators: Indicators, seconds: float, wire_bytes: int) -> dict[str, Any]:
    """Rates of the last seconds, rounded as they are shown, and the whole call's bytes on the wire, both ways.

    `seconds` is how long the call has lasted, `wire_bytes` what it took.
    """
    delay = indicators.delay_ms
    return {
        "quality": indicators.quality,
        "rung": indicators.rung,
        "face": indicators.face,
        "fps": round(indicators.fps, 1),
        "payload_kbps": round(indicators.payload_kbps, 1),
        "wire_in_kbps": round(indicators.wire_in_kbps, 1),
        "wire_back_kbps": round(indicators.wire_back_kbps, 1),
        "delay_ms": None if delay is None else round(delay),
        "seconds": round(seconds, 1),
        "wire_bytes": wire_bytes,
        "av1_kbps": AV1_KBPS,
        "av1_bytes": round(AV1_KBPS * 1000 / 8 * seconds),
    }
