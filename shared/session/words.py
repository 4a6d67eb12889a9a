"""Words that two people read to each other: our own list of easy English ones, no two of which look alike."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

COUNT = 1024
"""Words in the list: each stands for ten bits."""
_BITS = 10


@cache
def word_list() -> tuple[str, ...]:
    """All words, in alphabetical order: lower case, 4 to 8 letters, at least three edits from each other."""
    return tuple(files(__package__).joinpath("words.txt").read_text(encoding="ascii").split())


def words(data: bytes) -> tuple[str, ...]:
    """As many words as there are whole tens of bits in `data`: four for five bytes."""
    number, count = int.from_bytes(data, "big"), 8 * len(data) // _BITS
    number >>= 8 * len(data) - _BITS * count
    return tuple(word_list()[number >> _BITS * place & COUNT - 1] for place in reversed(range(count)))
