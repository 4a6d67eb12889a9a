"""Errors of the wire codec: what a peer sent could not be read. Such a message is counted and dropped."""

from __future__ import annotations


class MalformedMessage(ValueError):
    """Bytes from the peer that do not follow the wire format."""


class MalformedBundle(MalformedMessage):
    """A motion bundle that does not follow the wire format."""


class MalformedPicture(MalformedMessage):
    """A picture, or a piece of one, that does not follow the wire format."""


class MalformedControl(MalformedMessage):
    """A control message that does not follow the wire format."""


class MalformedBase(MalformedMessage):
    """A key or packet of the base layer that does not follow the wire format or cannot be decoded."""
