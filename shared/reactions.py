"""Reactions: expressions that a person has performed in their place during a call, and their numbers on the wire.

The key that is pressed, the byte that goes over and the place in LABELS are one number, counted from 1.
"""

from __future__ import annotations

LABELS = ("happiness", "sadness", "surprise", "anger", "disgust", "fear")
"""In the order of their numbers, which never changes."""
SECONDS = 2.4
"""That a reaction plays."""
SECONDS_APART = 2.0
"""From the beginning of one to that of the next at the least: the receiver takes no more."""


def label_of(number: int) -> str:
    """The expression of a number. Raises ValueError if it has none."""
    if not 1 <= number <= len(LABELS):
        raise ValueError(f"a reaction has a number from 1 to {len(LABELS)}, not {number}")
    return LABELS[number - 1]
