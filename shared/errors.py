"""Exceptions: what every error is that a program which uses Pinhole may want to catch."""

from __future__ import annotations


class PinholeError(Exception):
    """Something could not be done; the text says what happened, why, and what to do."""
