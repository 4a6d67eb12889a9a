"""One HTTP request of the joining side, and what can go wrong with it in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ssl import SSLContext

import aiohttp

from shared.session.exchange import BODY_LIMIT, SignallingError


@dataclass(frozen=True)
class Posted:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    """Cut off soon after `limit` bytes; longer than that means that it was too long."""


async def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    place: str,
    who: str,
    within: float,
    limit: int = BODY_LIMIT,
    tls: SSLContext | None = None,
) -> Posted:
    """The answer to a POST; redirects are not followed, and certificates are checked.

    `place` and `who` (the receiver, the rendezvous server) are for errors; `tls` says whom to trust, None: whom the
    system trusts. Raises SignallingError.
    """
    timeout = aiohttp.ClientTimeout(total=within)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(
                url, data=body, headers=headers, allow_redirects=False, ssl=True if tls is None else tls
            ) as response,
        ):
            answer = b""
            async for chunk in response.content.iter_any():
                answer += chunk
                if len(answer) > limit:
                    break
            return Posted(response.status, response.headers.copy(), answer)
    except TimeoutError as error:
        raise SignallingError(f"{place} did not answer within {within:g} s: is {who} running?") from error
    except aiohttp.ClientError as error:
        raise SignallingError(unreachable(error, place, who)) from error


def unreachable(error: aiohttp.ClientError, place: str, who: str) -> str:
    """Why a request failed, and what to do."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"the certificate of {place} is not trusted: if it is your own, give it, or its authority's, with --ca"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return f"{place} does not speak HTTPS: check whether the link begins with http or https"
    if isinstance(error, aiohttp.ClientConnectionError):
        return f"cannot reach {place}: is {who} running, and a firewall open?"
    return f"{place} does not speak HTTP ({type(error).__name__}): check the URL"
