"""What a user keeps about people on this machine, and who is at the other end of a call by it."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from shared.session.acquaintances import Acquaintances, Damaged, Judgement, check_name
from shared.session.identity import FILE_NAME, Identity, load_identity, usual_folder
from shared.session.private_file import PrivateFileError, read_private, write_private

PEOPLE_FILE = "people.json"


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

    def _load(self) -> Acquaintances:
        """Read anew each time: other calls of this user may have changed it."""
        data = read_private(self._people)
        if data is None:
            return Acquaintances()
        try:
            return Acquaintances.from_json(data.decode())
        except (Damaged, UnicodeDecodeError) as error:
            why = error if isinstance(error, Damaged) else "it is not text"
            raise PrivateFileError(
                f"{self._people} is damaged ({why}): restore it from a backup, or delete it, and everybody is new"
            ) from error

    def _save(self, people: Acquaintances) -> None:
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
