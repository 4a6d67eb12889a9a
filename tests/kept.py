"""How much a thing keeps: what must not grow is counted here, wherever it is kept."""

from __future__ import annotations

from collections import deque

OURS = ("sender", "receiver", "shared")


def elements(thing: object, seen: set[int] | None = None) -> int:
    """How many things are kept in all containers that can be reached from a thing of ours."""
    seen = set() if seen is None else seen
    if id(thing) in seen:
        return 0
    seen.add(id(thing))
    match thing:
        case dict():
            inside = [*thing.keys(), *thing.values()]
        case list() | tuple() | set() | frozenset() | deque():
            inside = list(thing)
        case _ if type(thing).__module__.partition(".")[0] in OURS:
            slots = [getattr(thing, name) for name in getattr(type(thing), "__slots__", ()) if hasattr(thing, name)]
            return sum(elements(each, seen) for each in [*getattr(thing, "__dict__", {}).values(), *slots])
        case _:
            return 0
    return len(inside) + sum(elements(each, seen) for each in inside)
