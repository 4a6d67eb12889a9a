"""Identity: who this user is to those they call, and what is kept of them on this machine.

An Ed25519 key that lasts from call to call, in a file of their own.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import date
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

from shared.files import PrivateFileError, create_private, read_private, write_private
from shared.trust.contacts import Contacts, Damaged, Judgement, check_name

FILE_NAME = "identity.pem"
PEOPLE_FILE = "people.json"


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


@dataclass(frozen=True)
class TrustSettings:
    """What the command line says about it."""

    folder: Path | None = None
    """None: the user's configuration folder."""
    identity: bool = True
    """False: this side shows no key, and neither reads nor writes anything."""
    who: str | None = None
    """Whom the user expects at the other end."""


class Trust:
    """This side's identity, and the people it knows, on disk."""

    def __init__(self, settings: TrustSettings) -> None:
        """Loads the identity, or makes it. Raises PrivateFileError if it, or what is known of people, is damaged."""
        folder = settings.folder or usual_folder()
        self.signer: Identity | None = load_identity(folder) if settings.identity else None
        self._people, self._who = folder / PEOPLE_FILE, settings.who
        if self.signer is not None:
            self._load()

    def meet(self, key: bytes | None, today: date) -> Judgement:
        """Judges whose key it is and remembers them. Raises PrivateFileError."""
        if self.signer is None:
            return Judgement("")  # as was asked for: nothing to tell
        if key == self.signer.public:
            return Judgement(f"the key is your own: both sides use the same {FILE_NAME}")
        people = self._load()
        judgement = people.meet(key, self._who, today)
        self._save(people)
        return judgement

    def compare(self, key: bytes | None) -> None:
        """The user has compared the words. Raises PrivateFileError."""
        if self.signer is None or key is None or key == self.signer.public:
            return
        people = self._load()
        people.compare(key, self._who)
        self._save(people)

    def _load(self) -> Contacts:
        """Read anew each time: other calls of this user may have changed it."""
        data = read_private(self._people)
        if data is None:
            return Contacts()
        try:
            return Contacts.from_json(data.decode())
        except (Damaged, UnicodeDecodeError) as error:
            why = error if isinstance(error, Damaged) else "it is not text"
            raise PrivateFileError(
                f"{self._people} is damaged ({why}): restore it from a backup, or delete it, and everybody is new"
            ) from error

    def _save(self, people: Contacts) -> None:
        write_private(self._people, people.to_json().encode())


def add_trust_options(parser: argparse.ArgumentParser) -> None:
    """The options that `trust_settings` reads."""
    group = parser.add_argument_group(
        "who is there",
        "Both sides of a call are shown four words: if they are the same (read them to each\nother; v in the window "
        "says that they are), nobody sits between. A key that each side\nshows also tells whether it is who it was "
        "last time.",
    )
    group.add_argument("--who", type=_name, metavar="NAME",
                       help="whom you expect: their key gets this name at the first call, and you are warned when "
                       "somebody with another key is there (a link says where somebody is, not who)")  # fmt: skip
    group.add_argument(
        "--no-identity",
        action="store_true",
        help="show no key and remember nobody: you cannot be recognised; the words hold as before",
    )
    group.add_argument("--config", type=Path, metavar="DIR",
                       help=f"where your key ({FILE_NAME}) and the people you know ({PEOPLE_FILE}) are kept "
                       f"(default: {usual_folder()})")  # fmt: skip


def trust_settings(args: argparse.Namespace) -> TrustSettings:
    """What the options say. Raises ValueError if they contradict each other."""
    if args.no_identity and args.who is not None:
        raise ValueError("--no-identity recognises nobody: leave it out, or --who")
    return TrustSettings(args.config, not args.no_identity, args.who)


def _name(text: str) -> str:
    try:
        return check_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
