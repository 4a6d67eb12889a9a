"""Short DTLS records: the cipher whose records are 8 bytes shorter, which aiortc 1.16 does not prefer."""

from __future__ import annotations

from typing import Any

from aiortc import RTCPeerConnection

from shared.transport.aiortc_patches.private_state import has

CIPHERS = b"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA"
"""aiortc's own list with ChaCha20 first: no explicit nonce in each record (RFC 7905, section 2)."""


def shorten_records(pc: RTCPeerConnection) -> None:
    """Prefer the cipher with the shortest records."""
    transport: Any = pc.sctp.transport if pc.sctp else None
    certificate: Any = getattr(transport, "_RTCDtlsTransport__local_certificate", None)
    if not has(certificate, "_create_ssl_context", otherwise="packets are 8 bytes longer"):
        return
    create = certificate._create_ssl_context

    def with_ciphers(*args: Any, **options: Any) -> Any:
        context = create(*args, **options)
        context.set_cipher_list(CIPHERS)
        return context

    certificate._create_ssl_context = with_ciphers
