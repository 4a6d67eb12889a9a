"""The one error of the commands `python -m weights`."""

from __future__ import annotations


class WeightsError(Exception):
    """What happened to weights, why, and what to do: one sentence for the command line."""
