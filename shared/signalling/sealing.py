"""Messages that a server may carry but not read, change or mix up: AES-GCM with a key that only the two sides have."""

from __future__ import annotations

import hashlib
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 16
OVERHEAD = 1 + 12 + 16
"""Bytes that sealing adds: version, nonce, tag."""

_VERSION = 1
_NONCE = 12


class NotOpened(ValueError):
    """A sealed message that this key does not open here. The text says why."""


def new_key() -> bytes:
    """A random key."""
    return os.urandom(KEY_BYTES)


def seal(key: bytes, message: bytes, context: bytes) -> bytes:
    """The message, unreadable; it opens only with the same key and context."""
    nonce = os.urandom(_NONCE)
    head = bytes([_VERSION])
    return head + nonce + AESGCM(key).encrypt(nonce, message, head + context)


def unseal(key: bytes, sealed: bytes, context: bytes) -> bytes:
    """What was sealed. Raises NotOpened."""
    if len(sealed) < OVERHEAD:
        raise NotOpened("the message is too short to be sealed")
    if sealed[0] != _VERSION:
        raise NotOpened(f"the message is sealed in version {sealed[0]}, this side knows {_VERSION}: update the older")
    try:
        return AESGCM(key).decrypt(sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :], sealed[:1] + context)
    except InvalidTag as error:
        raise NotOpened("the key does not fit the message") from error


def offer_context(room: str) -> bytes:
    """The context of an offer made in a room."""
    return b"pinhole offer " + room.encode()


def answer_context(room: str, sealed_offer: bytes) -> bytes:
    """The context of the answer to one offer, so that a server cannot hand out an old one."""
    return b"pinhole answer " + room.encode() + hashlib.sha256(sealed_offer).digest()
