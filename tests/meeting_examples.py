"""What tests of meeting share: two hellos that fit, an offer, and who accepts it."""

from __future__ import annotations

from dataclasses import replace

from shared.signalling.hello import Hello

SENDER = Hello("compact", "0123456789abcdef", "sender", "camera", 25.0, 15, 256)
RECEIVER = replace(SENDER, role="receiver")


async def offer() -> str:
    return "the offer"


async def accept(hello: Hello, sdp: str) -> tuple[Hello, str]:
    assert (hello, sdp) == (SENDER, "the offer")
    return RECEIVER, "the answer"
