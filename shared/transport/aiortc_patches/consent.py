"""Consent checks (RFC 7675) that a slow path survives: aioice gives up after 0.5 s each and six misses."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aioice import stun

from shared.transport.aiortc_patches.private_state import has

CONSENT_INTERVAL = 12.0
"""Seconds between consent checks. RFC 7675 has 5, and lets consent expire after 30: two checks still fall within."""
CONSENT_SILENCE = 95.0
"""Seconds without any answer to a consent check after which the path counts as lost."""
_CHECKS_KEPT = 32


def extend_consent(connection: Any, on_expired: Callable[[], None]) -> None:
    """Replace consent checks that give up after 0.5 s each and six misses, which end any call on a slow path.

    Here an answer counts whenever it comes, and the connection is closed after CONSENT_SILENCE without one, calling
    `on_expired` before. A check costs a request and a response, 212 bytes.
    """
    needed = ("query_consent", "build_request", "remote_password", "_nominated", "_query_consent_task", "close")
    if has(connection, *needed, otherwise="a path slower than 0.5 s will end the call"):
        connection.query_consent = lambda: _watch_consent(connection, on_expired)


@dataclass
class _ConsentCheck:
    """Stands in for a STUN transaction: no retransmission, no time limit."""

    transactions: dict[bytes, Any]
    transaction_id: bytes
    key: bytes
    on_answer: Callable[[], None]

    def response_received(self, message: stun.Message, addr: tuple[str, int]) -> None:
        if message.message_class == stun.Class.RESPONSE and message.check_message_integrity(self.key):
            self.forget()
            self.on_answer()

    def forget(self) -> None:
        self.transactions.pop(self.transaction_id, None)


async def _watch_consent(connection: Any, on_expired: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    key = connection.remote_password.encode()
    checks: deque[_ConsentCheck] = deque()
    heard = loop.time()

    def note() -> None:
        nonlocal heard
        heard = loop.time()

    while loop.time() - heard < CONSENT_SILENCE:
        await asyncio.sleep(CONSENT_INTERVAL * random.uniform(0.8, 1.2))
        for pair in connection._nominated.values():
            request = connection.build_request(pair, nominate=False)
            request.add_message_integrity(key)
            check = _ConsentCheck(pair.protocol.transactions, request.transaction_id, key, note)
            check.transactions[check.transaction_id] = check
            checks.append(check)
            pair.protocol.send_stun(request, pair.remote_addr)
        while len(checks) > _CHECKS_KEPT:
            checks.popleft().forget()
    on_expired()
    connection._query_consent_task = None  # or close() would cancel the task it runs in
    await connection.close()
