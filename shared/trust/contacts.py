"""The people met in calls, by their keys: who it is this time, and whether it is who it should be.

No files and no clock; `shared.trust.identity` keeps them on disk.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import date

MOST = 1000
"""Contacts kept. Then those without a name whose words were never compared go first, the longest unseen first."""
MOST_CHARACTERS = 40
"""Of a name."""

_KEY_BYTES = 32
_NEW_KEY = (
    "this may be somebody else. If the words are the same at both ends, v in the window takes the new key; without a "
    "window, remove the old one from people.json"
)
_VERSION = 1


class Damaged(ValueError):
    """What was read does not hold contacts."""


@dataclass(frozen=True)
class Contact:
    """Somebody who showed a key."""

    key: str
    """Public key, 64 hexadecimal digits."""
    name: str | None
    """What the user calls them."""
    first: str
    """Day of the first call, YYYY-MM-DD."""
    last: str
    calls: int
    compared: bool = False
    """Whether the words of a call were compared."""


@dataclass(frozen=True)
class Judgement:
    """Who the other side is, for the user."""

    text: str
    """A sentence part."""
    alarm: bool = False
    """Whether it has to be shouted: it is not who it should be."""
    compared: bool = False
    """Whether the words need not be compared again."""


class Contacts:
    """All of them."""

    def __init__(self, each: list[Contact] | None = None) -> None:
        self._each = each or []

    def __len__(self) -> int:
        return len(self._each)

    @staticmethod
    def from_json(text: str) -> Contacts:
        """What `to_json` wrote. Raises Damaged."""
        try:
            content = json.loads(text)
            if content["version"] != _VERSION:
                raise Damaged(f"it is of version {content['version']!r}, this Pinhole knows {_VERSION}")
            return Contacts([_checked(Contact(**each)) for each in content["people"]])
        except Damaged:
            raise
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise Damaged("it is not a list of people as Pinhole writes it") from error

    def to_json(self) -> str:
        """All of them, readable by people too."""
        return json.dumps({"version": _VERSION, "people": [asdict(each) for each in self._each]}, indent=1)

    def with_key(self, key: bytes) -> Contact | None:
        """Who has this key."""
        return next((each for each in self._each if each.key == key.hex()), None)

    def named(self, name: str) -> Contact | None:
        """Who goes by this name."""
        return next((each for each in self._each if each.name == name), None)

    def meet(self, key: bytes | None, expected: str | None, today: date) -> Judgement:
        """Judges who is there, and remembers them. `expected`: the name of whom the user wants to talk to."""
        known = None if key is None else self.with_key(key)
        holder = None if expected is None else self.named(expected)
        judgement = _judge(key, known, holder, expected, today)
        if key is not None:
            day = today.isoformat()
            met = known or Contact(key.hex(), None, day, day, calls=0)
            met = replace(met, last=day, calls=met.calls + 1)
            if met.name is None and holder is None:
                met = replace(met, name=expected)
            self._put(met)
        return judgement

    def compare(self, key: bytes, expected: str | None) -> None:
        """The words were the same on both sides: this key it is, and the name is its own if another had it."""
        met = self.with_key(key)
        if met is None:
            return
        former = None if expected is None else self.named(expected)
        if former is not None and former.key != met.key:
            self._put(replace(former, name=None))
        self._put(replace(met, compared=True, name=expected or met.name))

    def _put(self, met: Contact) -> None:
        """Takes in or replaces one."""
        self._each = [each for each in self._each if each.key != met.key] + [met]
        if len(self._each) > MOST:
            self._each.remove(min(self._each[:-1], key=_worth))


def _judge(
    key: bytes | None, known: Contact | None, holder: Contact | None, expected: str | None, today: date
) -> Judgement:
    if holder is not None and key is None:
        text = f"{holder.name} has shown a key before and shows none now: this may be somebody else, compare the words"
        return Judgement(text, alarm=True)
    if key is None:
        return Judgement("the other side shows no key, so it cannot be recognised, now or next time")
    if holder is not None and (known is None or known.key != holder.key):
        whose = f"is the one of {known.name}" if known and known.name else f"is not the one of {_seen(holder, today)}"
        text = f"the key of {holder.name} has changed: the key shown {whose}; {_NEW_KEY}"
        return Judgement(text, alarm=True)
    if known is None:
        return Judgement("a new key: whoever has it is recognised next time" + (f" as {expected}" if expected else ""))
    if expected is not None and known.name not in (None, expected):
        return Judgement(f"this is {known.name}, not {expected}", alarm=True)
    who = known.name or expected or "the same person"
    return Judgement(f"this is {who}, known from {_seen(known, today)}", compared=known.compared)


def _worth(known: Contact) -> tuple[bool, str]:
    return known.name is not None or known.compared, known.last


def _seen(known: Contact, today: date) -> str:
    """`3 November (4 calls, words compared)`."""
    last = date.fromisoformat(known.last)
    year = "" if last.year == today.year else f" {last.year}"
    calls = "1 call" if known.calls == 1 else f"{known.calls} calls"
    compared = ", words compared" if known.compared else ""
    return f"{last.day} {last:%B}{year} ({calls}{compared})"


def _checked(each: Contact) -> Contact:
    """Raises Damaged or ValueError for values that were not written by `to_json`."""
    if len(bytes.fromhex(each.key)) != _KEY_BYTES or each.key != each.key.lower():
        raise Damaged("a key in it is not 64 lower-case hexadecimal digits")
    if each.name is not None:
        check_name(each.name)
    date.fromisoformat(each.first), date.fromisoformat(each.last)
    if type(each.calls) is not int or each.calls < 1 or type(each.compared) is not bool:
        raise Damaged("a number of calls in it is none")
    return each


def check_name(name: str) -> str:
    """The name, if it is one that can be shown. Raises ValueError."""
    if not isinstance(name, str) or not name.strip() or len(name) > MOST_CHARACTERS or not name.isprintable():
        raise ValueError(f"a name has 1 to {MOST_CHARACTERS} letters that can be shown, {name!r:.60} has not")
    return name
