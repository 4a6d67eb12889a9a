"""python -m weights: what weights there are, and how to get more. See --help."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

from shared.loading import INTERRUPTED
from shared.models.stored_weights import folder, stored
from shared.signals import interrupting
from weights.digest import sha256_of
from weights.errors import WeightsError
from weights.overview import overview
from weights.published import Published, published
from weights.record import Record
from weights.verify import embedded, embedded_path, verify

EXAMPLES = """\
examples:
  python -m weights list                              what is embedded, what is here, what can be fetched
  python -m weights fetch esrgan                      download, check and convert ESRGAN's published weights
  python -m weights fetch vox256 --accept-licence     the same, for non-commercial use, without a question
  python -m weights fetch adasr --from ~/adasr.tar    weights that had to be downloaded by hand
  python -m weights convert my_esrgan.pth             a checkpoint of your own
  python -m weights verify                            read all files and compare them with what they should be

The embedded weights need no step: calls work without any of this.
"""
FETCH_EXAMPLES = """\
examples:
  python -m weights fetch esrgan
  python -m weights fetch vox256 --keep               keep the 2.1 GB original too
  python -m weights fetch esrgan --from /mnt/stick/RRDB_ESRGAN_x4.pth

A download that was interrupted goes on where it stopped. Every file is checked against its SHA-256 before it is
used; a wrong one is refused, and what was there stays.
"""
CONVERT_EXAMPLES = """\
examples:
  python -m weights convert 00000189-checkpoint.pth.tar
  python -m weights convert talking.pth.tar --name adasr AdaSR-TalkingHead, which may look like vox256
  python -m weights convert 4x_faces.pth --name faces    stored as faces.safetensors

Understood are checkpoints of face-vid2vid (kp_detector, he_estimator and the SPADE generator), AdaSR-TalkingHead, and
ESRGAN or Real-ESRGAN x4 in any of their layouts; PyTorch files or safetensors. Nothing in a file is ever run.
"""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


def weights_name(text: str) -> str:
    """A name for weights in the store."""
    if not _NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not of lower-case letters, digits and hyphens, at most 32")
    return text


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line; `run` is the command as a function of it."""
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m weights", description="Weights of networks: list, fetch, convert, verify.", epilog=EXAMPLES,
        formatter_class=plain,
    )  # fmt: skip
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    listing = commands.add_parser("list", help="all weights: embedded, fetched, to be fetched",
                                  description="Name, state, size, licence and purpose of all weights.")  # fmt: skip
    listing.set_defaults(run=_list)
    _catalogue_option(listing)

    fetching = commands.add_parser("fetch", help="download published weights, check and convert them",
                                   description="Downloads published weights, checks them and converts them.",
                                   epilog=FETCH_EXAMPLES, formatter_class=plain)  # fmt: skip
    fetching.set_defaults(run=_fetch)
    fetching.add_argument("name", metavar="NAME", help="a name that `list` shows")
    fetching.add_argument("--from", dest="source", metavar="FILE|URL",
                          help="take this file or address instead of the catalogue's: for machines without a network, "
                          "and for files that only a browser can download")  # fmt: skip
    fetching.add_argument("--accept-licence", action="store_true",
                          help="accept a non-commercial licence without being asked; that is recorded")  # fmt: skip
    fetching.add_argument("--keep", action="store_true", help="keep the downloaded original in the store as well")
    fetching.add_argument("--again", action="store_true", help="fetch even if it is here and whole")
    fetching.add_argument("--new-version", action="store_true",
                          help="accept another file than the first one, where no SHA-256 is published")  # fmt: skip
    _catalogue_option(fetching)

    converting = commands.add_parser("convert", help="convert a checkpoint of your own into the store",
                                     description="Converts a checkpoint into safetensors in the store.",
                                     epilog=CONVERT_EXAMPLES, formatter_class=plain)  # fmt: skip
    converting.set_defaults(run=_convert)
    converting.add_argument("file", type=Path, metavar="FILE", help="a PyTorch checkpoint or safetensors")
    converting.add_argument("--name", type=weights_name, metavar="NAME",
                            help="what to call it in the store: vox256 or adasr for face-vid2vid, anything for ESRGAN "
                            "(default: by what the file looks like)")  # fmt: skip

    verifying = commands.add_parser("verify", help="compare all files with what they should be",
                                    description="Reads embedded and stored files and compares their SHA-256; ends with "
                                    "1 if one is wrong.")  # fmt: skip
    verifying.set_defaults(run=_verify)

    where = commands.add_parser("where", help="print the folder of the store, or the files of weights",
                                description="Prints where fetched and converted weights lie.")  # fmt: skip
    where.set_defaults(run=_where)
    where.add_argument("name", nargs="?", metavar="NAME", help="print the files of these weights instead")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; 0 if it went well, 1 with a sentence on stderr if not, 130 if it was interrupted."""
    args = parse(arguments)
    run: Callable[[argparse.Namespace], int] = args.run
    try:
        with interrupting():
            return run(args)
    except (WeightsError, OSError) as error:
        print(f"python -m weights: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        part = stored(f"{getattr(args, 'name', None)}.part")
        kept = f"; {part.name} keeps what has come, and the same command goes on from there" if part.exists() else ""
        print(f"\npython -m weights: interrupted{kept}", file=sys.stderr)
        return INTERRUPTED


def _list(args: argparse.Namespace) -> int:
    print(overview(published(args.catalogue), Record.load()))
    return 0


def _fetch(args: argparse.Namespace) -> int:
    if args.name in embedded():
        print(f"{args.name} comes with pinhole: there is nothing to fetch")
        return 0
    entry = _find(published(args.catalogue), args.name)
    from weights.fetch import FetchSettings, fetch

    settings = FetchSettings(args.source, args.accept_licence, args.keep, args.again, args.new_version)
    paths = fetch(entry, settings, _say, _ask if sys.stdin.isatty() else None)
    _say("in the store:")
    print(*paths, sep="\n")
    return 0


def _convert(args: argparse.Namespace) -> int:
    from weights.convert import Origin, converted, keep, store_names

    result = converted(args.file, args.name, say=_say)
    name = args.name or result.name
    digest = sha256_of(args.file)
    origin = Origin(args.file.name, digest, _licence(result.name, digest))
    paths = keep(result, name, store_names(result, name), origin, _say)
    _say(f"{args.file.name} holds {result.name}; licence: {origin.licence}; in the store as {name}:")
    print(*paths, sep="\n")
    return 0


def _licence(kind: str, digest: str) -> str:
    """What is known of the terms of a user's file: all of it, if it is a published one."""
    catalogue = published()
    for entry in catalogue.values():
        if entry.sha256 == digest:
            return entry.licence
    if kind in catalogue and catalogue[kind].non_commercial:
        return f"unknown (a file of yours; the published {kind}: {catalogue[kind].licence})"
    return "unknown (a file of yours)"


def _verify(args: argparse.Namespace) -> int:
    checked = verify(Record.load())
    for file in checked:
        print(f"{'WRONG' if file.problem else 'ok':5}  {file.name:20}  {file.path.name} {file.problem}".rstrip())
    wrong = [file.path.name for file in checked if file.problem]
    if wrong:
        print(f"python -m weights: {len(wrong)} of {len(checked)} files are wrong: {', '.join(wrong)}", file=sys.stderr)
    return 1 if wrong else 0


def _where(args: argparse.Namespace) -> int:
    if args.name is None:
        print(folder())
        return 0
    if args.name in embedded():
        print(embedded_path(embedded()[args.name]))
        return 0
    files = Record.load().of(args.name)
    if not files:
        raise WeightsError(f"there are no weights {args.name} here: python -m weights list shows what there is")
    for file in files:
        print(stored(file.file))
    return 0


def _find(catalogue: dict[str, Published], name: str) -> Published:
    if name not in catalogue:
        raise WeightsError(f"there are no weights {name!r}; known: {', '.join(catalogue)}")
    return catalogue[name]


def _catalogue_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--catalogue", type=Path, metavar="FILE.json",
                        help="a catalogue of the form of weights/published.json, in its place")  # fmt: skip


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _ask(question: str) -> bool:
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        return False


if __name__ == "__main__":
    sys.exit(main())
