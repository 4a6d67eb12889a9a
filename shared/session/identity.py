"""Who this user is to those they call: an Ed25519 key that lasts from call to call, in a file of their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from platformdirs import user_config_path

from shared.session.private_file import PrivateFileError, create_private, read_private

FILE_NAME = "identity.pem"


@dataclass(frozen=True)
class Identity:
    """A key pair; a `Signer`."""

    _private: Ed25519PrivateKey

    @property
    def public(self) -> bytes:
        """The public key, 32 bytes."""
        return self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def sign(self, data: bytes) -> bytes:
        """An Ed25519 signature, 64 bytes."""
        return self._private.sign(data)


def usual_folder() -> Path:
    """The user's folder for what Pinhole remembers about people; it may not exist yet."""
    return user_config_path("pinhole", appauthor=False)


def load_identity(folder: Path) -> Identity:
    """The identity kept in `folder`, made when there is none yet.

    Raises PrivateFileError if the file is damaged, open to others, or cannot be read or written.
    """
    path = folder / FILE_NAME
    data = read_private(path)
    if data is None:
        made = Ed25519PrivateKey.generate()
        if create_private(path, made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())):
            return Identity(made)
        data = read_private(path)  # another call of this user was quicker
    try:
        private = load_pem_private_key(data or b"", None)
    except (ValueError, TypeError) as error:
        raise PrivateFileError(_damaged(path)) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise PrivateFileError(_damaged(path))
    return Identity(private)


def _damaged(path: Path) -> str:
    return (
        f"{path} is damaged and holds no key: restore it from a backup, or delete it to get a new key, which people "
        "you have called before will be warned of"
    )
