"""Which requests come from a web page, and from whose: a browser lets any page send requests to this machine.

A page of another site names itself in Origin. A page whose name is made to point to this machine (DNS rebinding) counts
as the same site, but its name stands in Host; this machine's pages are reached by address, or by a name of its own.
"""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from shared.session.certificate import is_address


def foreign(origin: str | None, own: str) -> bool:
    """Whether a request's Origin is another than `own`, such as `http://127.0.0.1:8766`."""
    return origin is not None and origin.lower() != own.lower()


def rebound(host: str | None, configured: str) -> bool:
    """Whether a request's Host is a name that is none of this machine's. `configured`: what the server listens on."""
    try:
        name = urlsplit(f"//{host or ''}").hostname or ""
    except ValueError:
        return True
    return not (is_address(name) or name in own_names(configured))


def own_names(configured: str) -> set[str]:
    """The names, in lower case, by which this machine may be called."""
    name = socket.gethostname().lower()
    short = name.partition(".")[0]
    return {"localhost", configured.lower(), name, short, f"{short}.local"}
