"""Two homes behind a router each, and a server in the middle: network namespaces of Linux, for tests.

home-1 ── router-1 ── net (203.0.113.1) ── router-2 ── home-2
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import pytest

SERVER = "203.0.113.1"
"""The server's address, in the namespace `net`."""
_CONE = "masquerade"
_SYMMETRIC = "masquerade fully-random"
"""Another port for every connection, as some routers and most mobile networks do it."""


class TwoRouters:
    """The network; gone at the end of the block. Skips the test where it cannot be made."""

    def __init__(self, symmetric: bool = False) -> None:
        """`symmetric`: whether both routers give every connection another port."""
        self._nat = _SYMMETRIC if symmetric else _CONE
        self._prefix = f"pinhole{os.getpid()}"
        self._made: list[str] = []

    def __enter__(self) -> Self:
        for program, package in (("ip", "iproute2"), ("nft", "nftables")):
            if shutil.which(program) is None:
                pytest.skip(f"{program} is not installed: apt-get install {package}")
        if os.geteuid() != 0:
            pytest.skip("only root may make network namespaces")
        try:
            self._make()
        except subprocess.CalledProcessError as error:
            self.__exit__(None, None, None)
            pytest.skip(f"network namespaces cannot be made here: {error.stderr.strip()}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for name in self._made:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    def inside(self, place: str) -> list[str]:
        """What to put before a command for it to run at `home-1`, `home-2`, `router-1`, `router-2` or `net`."""
        return ["ip", "netns", "exec", f"{self._prefix}-{place}"]

    def _make(self) -> None:
        for place in ("net", "router-1", "router-2", "home-1", "home-2"):
            _do(["ip", "netns", "add", f"{self._prefix}-{place}"])
            self._made.append(f"{self._prefix}-{place}")
            self._ip(place, "link set lo up")
        self._ip("net", f"addr add {SERVER}/32 dev lo")
        self._run("net", ["sysctl", "-qw", "net.ipv4.ip_forward=1"])
        for n, street in enumerate(("198.51.100", "192.0.2"), 1):
            self._cable("net", f"{street}.1/24", f"router-{n}", f"{street}.2/24", "wan")
            self._cable(f"router-{n}", "192.168.7.1/24", f"home-{n}", "192.168.7.2/24", "lan")
            self._ip(f"router-{n}", f"route add default via {street}.1")
            self._ip(f"home-{n}", "route add default via 192.168.7.1")
            self._run(f"router-{n}", ["sysctl", "-qw", "net.ipv4.ip_forward=1"])
            self._run(f"router-{n}", ["nft", "-f", "-"], _RULES.format(nat=self._nat))

    def _cable(self, one: str, one_address: str, other: str, other_address: str, name: str) -> None:
        """An Ethernet between two places; its end is called `name` at the router."""
        ends = {one: name if one != "net" else f"to-{other}", other: name if other.startswith("router") else "lan"}
        self._ip(one, f"link add {ends[one]} type veth peer name {ends[other]} netns {self._prefix}-{other}")
        for place, address in ((one, one_address), (other, other_address)):
            self._ip(place, f"addr add {address} dev {ends[place]}")
            self._ip(place, f"link set {ends[place]} up")

    def _ip(self, place: str, command: str) -> None:
        _do(["ip", "-n", f"{self._prefix}-{place}", *command.split()])

    def _run(self, place: str, command: Sequence[str], text: str = "") -> None:
        _do([*self.inside(place), *command], text)


# As routers at home do: connections go out, only what belongs to one comes in, and who knocks is not answered.
_RULES = """
table ip home {{
  chain input {{ type filter hook input priority 0; iifname "wan" drop; }}
  chain forward {{
    type filter hook forward priority 0; policy drop;
    iifname "lan" accept
    ct state established,related accept
  }}
  chain out {{ type nat hook postrouting priority 100; oifname "wan" {nat}; }}
}}
"""


def _do(command: Sequence[str], text: str = "") -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, input=text, timeout=60)
