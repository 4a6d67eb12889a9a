"""The files that a command line names: none is written that is read too, and none is lost that was there before."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import combinations, count, product
from pathlib import Path

from shared.part_file import PlaceError
from shared.session.identity import FILE_NAME, usual_folder
from shared.session.trust import PEOPLE_FILE

_READ = ("source", "send", "audio", "play", "generator", "upscaler_weights", "certificate", "key", "ca")
"""Options, as argparse has them, whose file is read where they name one."""
_MADE = ("out", "record", "out_audio", "report")
"""Those whose file is made, and would be lost if the next call made it again."""
_WRITTEN = (*_MADE, "state")


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
    goes_on = args.state is not None and args.state.exists()
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
