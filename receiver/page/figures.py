"""A call's figures as the page gets them, beside what H.264 would have taken."""

from __future__ import annotations

from typing import Any

from receiver.indicators import Indicators

H264_KBPS = 22.5
"""H.264 at 256x256 and 25 frames a second on the wire, both ways: x264 veryfast at its floor, RTP and RTCP included,
mean of 12 clips (`benchmarks.bandwidth`, the table in README.md). It is not measured on the call shown."""


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
        "h264_kbps": H264_KBPS,
        "h264_bytes": round(H264_KBPS * 1000 / 8 * seconds),
    }
