"""python -m shared.rendezvous: a rendezvous server. See --help."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from shared.rendezvous.server import RendezvousServer
from shared.rendezvous.stun_server import add_stun_options, stun_beside
from shared.signalling.direct import CannotListen
from shared.signals import ended_by_signals, interruptible
from shared.trust.certificate import add_server_options, https_settings

EXAMPLES = """\
examples:
  python -m shared.rendezvous                                          plain HTTP, TCP and UDP port 8767
  python -m shared.rendezvous --port 443 --certificate c.pem --key k.pem
  python -m shared.rendezvous --host 127.0.0.1 --behind-proxy          where nginx or Caddy does HTTPS

Then, on the two sides of a call:
  python -m receiver --rendezvous https://HOST      prints a join link
  python -m sender --peer LINK

Routers in between are no hindrance, since this is a STUN server as well: let UDP through to the same port. Only where a
router gives every connection another port (symmetric NAT) both sides need a relay: --turn.
Whoever runs the server sees who meets and when, but cannot read what the two sides tell each other, nor listen in.

exit status: 130 when Ctrl-C, SIGTERM or SIGHUP ends it, 1 if it cannot serve, 2 if the command line is wrong.
"""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Options from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m shared.rendezvous",
        description="A rendezvous server: where the two sides of a Pinhole call find each other.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="0.0.0.0", help="address to listen on (default: 0.0.0.0, all)")
    parser.add_argument("--port", type=int, default=8767, help="port to listen on; 0: any free one (default: 8767)")
    add_server_options(parser)
    parser.add_argument(
        "--behind-proxy",
        action="store_true",
        help="only behind a reverse proxy of your own: take the caller's address from X-Forwarded-For",
    )
    add_stun_options(parser)
    args = parser.parse_args(arguments)
    args.https = https_settings(parser, args)
    if not 0 <= args.port <= 65535:
        parser.error(f"port {args.port} does not exist: ports are 1 to 65535, or 0 for any")
    return args


async def serve(args: argparse.Namespace) -> None:
    """Runs a server until it is cancelled. Raises CannotListen and OSError."""
    tls = args.https.serving()
    async with (
        RendezvousServer(args.host, args.port, tls=tls, behind_proxy=args.behind_proxy) as server,
        stun_beside(args, server.port) as server.stun_port,
    ):
        if server.stun_port is not None:
            print(f"a STUN server answers on UDP port {server.stun_port}: let it through the firewall", flush=True)
        print(f"receivers wait with: python -m receiver --rendezvous {server.url}", flush=True)
        await asyncio.Event().wait()


@ended_by_signals("shared.rendezvous", "stopped")
def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until a signal ends it, which gives 130; 1 with a sentence on stderr if it cannot."""
    try:
        asyncio.run(interruptible(serve(parse(arguments))))
    except (CannotListen, OSError) as error:
        print(f"python -m shared.rendezvous: {error}", file=sys.stderr)
        return 1
    raise KeyboardInterrupt  # by itself it never ends


if __name__ == "__main__":
    sys.exit(main())
