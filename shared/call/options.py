"""Options that the two commands have in common, and what of a command line is refused.

Options that would do nothing are better refused than taken without effect; of the files that it names none is written
that is read too, and none is lost that was there before.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Iterator
from itertools import combinations, count, product
from pathlib import Path

from shared.call.exit_status import EXIT_STATUSES
from shared.call.report import report_path
from shared.files import PlaceError
from shared.models.precision import PRECISIONS
from shared.models.registry import ENGINES
from shared.trust.certificate import add_trust_option
from shared.trust.identity import FILE_NAME, PEOPLE_FILE, usual_folder

NETWORK = ("stun", "turn", "relay_only", "ca", "wait", "state")
"""Those of a call over a network, as argparse has them."""
TRUST = ("who", "no_identity", "config")
_READ = ("source", "send", "audio", "play", "generator", "upscaler_weights", "certificate", "key", "ca")
"""Options, as argparse has them, whose file is read where they name one."""
_MADE = ("out", "record", "out_audio", "report", "sheet")
"""Those whose file is made, and would be lost if the next call made it again."""
_WRITTEN = (*_MADE, "state")


def idle(parser: argparse.ArgumentParser, args: argparse.Namespace, options: Iterable[str], why: str) -> str:
    """A sentence on the first of these options that is given; nothing if none is. One that says what is so anyway
    counts as not given.

    `why`: what makes it do nothing, and what to do.
    """
    for option in options:
        if getattr(args, option) != parser.get_default(option):
            return f"{_written(parser, option)} does nothing {why}"
    return ""


def seconds(text: str) -> float:
    """A time for argument parsers. Raises ArgumentTypeError unless it is a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: give seconds, more than 0")
    return value


def _written(parser: argparse.ArgumentParser, option: str) -> str:
    """As a user writes it; of several that set the same, the first."""
    action = next(each for each in parser._actions if each.dest == option)
    return max(action.option_strings, key=len)


def chosen(parser: argparse.ArgumentParser, args: argparse.Namespace, group: str) -> str:
    """The first option of a group that has not its default value; nothing if there is none."""
    actions = [action for each in parser._action_groups if each.title == group for action in each._group_actions]
    changed = [action for action in actions if getattr(args, action.dest) != parser.get_default(action.dest)]
    return max(changed[0].option_strings, key=len) if changed else ""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that both sides of a call take, and what the exit statuses mean."""
    parser.epilog = EXIT_STATUSES
    parser.add_argument("--engine", choices=ENGINES, default="compact", help="must be the same on both sides")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where the networks run")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto",
                        help="what --engine compact draws in: auto takes bf16 on a CPU that multiplies it, fp16 on a "
                        "GPU, else fp32 (default: auto)")  # fmt: skip
    parser.add_argument("--stun", metavar="URL", help="STUN server, stun:HOST:PORT: finds the way through "
                        "most routers; give one on both sides (default: the rendezvous server's own, where you meet "
                        "at one)")  # fmt: skip
    parser.add_argument("--turn", metavar="URL", help="TURN server, turn:USER:PASSWORD@HOST:PORT: a "
                        "relay, for routers that let nothing else through")  # fmt: skip
    parser.add_argument("--relay-only", action="store_true",
                        help="send everything through the TURN server, so that the other side does not learn this "
                        "machine's address")  # fmt: skip
    add_trust_option(parser)
    parser.add_argument("--wait", action="store_true",
                        help="wait for the other side for ever; without it a call ends after 90 s of silence. A call "
                        "whose network was gone goes on by itself, unless it was joined by hand")  # fmt: skip
    parser.add_argument("--state", type=report_path, metavar="FILE",
                        help="keep in a file what this program needs to go on with the call when it is started again, "
                        "on the receiver also the join link; give it a file of its own")  # fmt: skip
    parser.add_argument("--report", type=report_path, metavar="FILE", help="write the figures of the call as JSON")
    parser.add_argument("--overwrite", action="store_true",
                        help="replace files that are there already, which stay without it")  # fmt: skip


def check_apart(args: argparse.Namespace) -> None:
    """Raises ValueError if an option would write a file that another one reads or writes, under whatever name."""
    read = [*_named(args, _READ), *_kept(args)]
    written = _named(args, _WRITTEN)
    for (one, a), (other, b) in [*product(written, read), *combinations(written, 2)]:
        if any(_is_same(x, y) for x, y in product(_numbered(args, one, a), _numbered(args, other, b))):
            raise ValueError(f"{one} and {other} are the same file, '{b}', which would be lost: name another for {one}")


def check_endings(**named: tuple[Path | None, tuple[str, ...]]) -> None:
    """Raises ValueError for the file of an option whose name promises something else than will be in it."""
    for option, (path, endings) in named.items():
        if path is None or path.suffix.lower() in endings or _is_device(path):
            continue
        what = f"ends in '{path.suffix}'" if path.suffix else "has no ending"
        raise ValueError(
            f"--{option.replace('_', '-')} {path} {what}, and {endings[0]} is what is written: name it "
            f"{path.with_suffix(endings[0]).name}"
        )


def check_free(args: argparse.Namespace) -> None:
    """Raises PlaceError if a file that is to be made is there already, unless it may be replaced.

    A program that goes on with a call of before gives its files the next free names instead. Of several calls each has
    names of its own.
    """
    if args.overwrite or getattr(args, "calls", 1) > 1:
        return
    state = getattr(args, "state", None)
    goes_on = state is not None and state.exists()
    for option, path in _named(args, _MADE):
        if not path.exists() or _is_device(path):
            continue
        if goes_on:
            setattr(args, option[2:].replace("-", "_"), free(path))
            continue
        raise PlaceError(f"'{path}' is there already: give {option} another name, or add --overwrite to replace it.")


def free(path: Path) -> Path:
    """The path, or `call-2.mp4` for `call.mp4`, with the first number that nothing has."""
    others = (path.with_stem(f"{path.stem}-{number}") for number in count(2))
    return path if not path.exists() else next(each for each in others if not each.exists())


def _named(args: argparse.Namespace, options: tuple[str, ...]) -> list[tuple[str, Path]]:
    """(option, path) of those that are given. What names a camera or a network is no file, or one that is not there."""
    given = ((option, getattr(args, option, None)) for option in options)
    return [
        (f"--{option.replace('_', '-')}", Path(value))
        for option, value in given
        if value is not None and not (option in ("source", "send") and _is_no_file(str(value)))
    ]


def _kept(args: argparse.Namespace) -> Iterator[tuple[str, Path]]:
    """The user's own key, and what is known of people."""
    folder = args.config or usual_folder()
    for name in (FILE_NAME, PEOPLE_FILE):
        yield f"the {name} of --config", folder / name


def _numbered(args: argparse.Namespace, option: str, path: Path) -> list[Path]:
    """The names that several calls at a time make of one."""
    calls = getattr(args, "calls", 1)
    if calls == 1 or option not in [f"--{each.replace('_', '-')}" for each in _MADE]:
        return [path]
    return [path.with_stem(f"{path.stem}-{number}") for number in range(1, calls + 1)]


def _is_same(one: Path, other: Path) -> bool:
    if _is_device(one):
        return False
    try:
        if one.exists() and other.exists():
            return one.samefile(other)
        a, b = one.resolve(), other.resolve()
        if a == b:
            return True
        # Two that are not there yet: a folder may take both names for one.
        return a.name.lower() == b.name.lower() and a.parent.samefile(b.parent) and _ignores_case(a.parent)
    except OSError:
        return False


def _ignores_case(folder: Path) -> bool:
    other = folder.with_name(folder.name.swapcase())
    return other != folder and other.exists() and other.samefile(folder)


def _is_no_file(source: str) -> bool:
    return source == "sample" or source.startswith("camera:")


def _is_device(path: Path) -> bool:
    """Such as /dev/null, which may be written as often as one likes."""
    return path.exists() and not path.is_file() and not path.is_dir()
