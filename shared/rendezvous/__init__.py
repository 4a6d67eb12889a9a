"""What a rendezvous server and the two sides agree on."""

from __future__ import annotations

from shared.signalling.offer_answer import BODY_LIMIT
from shared.signalling.sealing import OVERHEAD

VERSION = 1
"""Of the requests and messages; `VERSION_HEADER` carries it in every request and every answer."""
VERSION_HEADER = "Pinhole-Rendezvous"
STUN_HEADER = "Pinhole-Stun"
"""In the answer to `GET /`: UDP port of the STUN server on the same host; not there if there is none."""
SEALED_LIMIT = BODY_LIMIT + OVERHEAD
"""Bytes of a sealed offer or answer."""
CALLER_BYTES = 4
"""Number of a caller, big-endian, before every sealed message on a receiver's WebSocket."""
MESSAGE_LIMIT = SEALED_LIMIT + CALLER_BYTES
HEARTBEAT = 30.0
"""Seconds between pings of both: few enough for a phone, often enough for a router to keep the path."""
