"""python -m benchmarks.fuzz: hostile bytes for everything that reads what others send. See --help."""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

if not __package__:  # run as a script: Python then looks for modules in this folder, not beside it
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.command import command
from benchmarks.fuzz_targets import Target, targets
from benchmarks.mutation import Mutator
from benchmarks.progress import Progress
from shared.call.report import report_path, write_report

ABOUT = """\
Damages valid messages of every kind (bundles, sound, base layer, pictures, pieces, control messages, offers and
answers, sealed messages, join links, pasted texts, catalogues, recorded calls, weights, and whole calls against either
half), in ways that the seed decides, and hands them to the parsers. A parser accepts an input or refuses it with an
error of its own; anything else, an input that takes long or allocates much, ends this with status 1, and says how to
have it again.
"""
EXAMPLES = """\
examples:
  python -m benchmarks.fuzz --inputs 100000             a minute or two
  python -m benchmarks.fuzz --json fuzz.json            a million
  python -m benchmarks.fuzz --only picture --seed 7     one parser, other inputs
"""
SECONDS = 1.0
"""Of processor time for one input at most."""
PROCESS_MB = 256
"""What a parser's process may grow by over all its inputs, libraries in C included."""
_HANG_SECONDS = 20.0
_CHUNKS = 10
_TRACED = 200
"""Inputs of a chunk whose allocations are traced, which takes several times as long."""


class Fault(Exception):
    """A parser did what it must not. The text says which, with what, and how to have it again."""


@dataclass
class Outcome:
    """What became of one parser's inputs."""

    name: str
    inputs: int = 0
    accepted: int = 0
    refused: int = 0
    worst_ms: float = 0.0
    """Processor time of the slowest input."""
    peak_bytes: int = 0
    """Most that Python and NumPy had allocated over one of the inputs traced."""
    grown_mb: float = 0.0
    """By how much the process grew in all."""

    def add(self, other: Outcome) -> None:
        """Joins the figures of more inputs."""
        self.inputs, self.accepted = self.inputs + other.inputs, self.accepted + other.accepted
        self.refused += other.refused
        self.worst_ms, self.peak_bytes = max(self.worst_ms, other.worst_ms), max(self.peak_bytes, other.peak_bytes)
        self.grown_mb = max(self.grown_mb, other.grown_mb)


def attack(target: Target, seed: str, inputs: int) -> Outcome:
    """Hands so many inputs to a parser. Raises Fault."""
    mutator = Mutator(seed, target.valid, target.most, target.tokens)
    outcome = Outcome(target.name)
    for number in range(inputs):
        data = mutator.next()
        if target.mend is not None and number % 2:
            data = target.mend(data)
        traced = number < min(_TRACED, inputs // 2)
        if traced:
            tracemalloc.start()
        _limit(_HANG_SECONDS)
        begin = time.thread_time()
        try:
            target.parse(data)
            outcome.accepted += 1
        except target.refusals:
            outcome.refused += 1
        except Exception as error:
            raise Fault(_told(target, data, f"raised {type(error).__name__}: {error}")) from error
        took = time.thread_time() - begin
        _limit(0.0)
        if traced:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            outcome.peak_bytes = max(outcome.peak_bytes, peak)
            if peak > target.memory:
                raise Fault(_told(target, data, f"made it allocate {peak} bytes, {target.memory} are allowed"))
        else:
            outcome.worst_ms = max(outcome.worst_ms, 1000 * took)
            if took > SECONDS:
                raise Fault(_told(target, data, f"took {took:.2f} s, {SECONDS:g} s are allowed"))
        outcome.inputs += 1
    return outcome


def _told(target: Target, data: bytes, what: str) -> str:
    shown = data.hex() if len(data) <= 400 else f"{data[:400].hex()}... ({len(data)} bytes)"
    return f"{target.name}: the input {shown} {what}"


def _limit(seconds: float) -> None:
    """Has the system end this process after so much processor time, whatever it does then; 0: never."""
    signal.setitimer(signal.ITIMER_PROF, seconds)


_worker: dict[str, Target] = {}


def _chunk(name: str, seed: str, inputs: int, scratch: str) -> Outcome:
    """In a process of its own."""
    if name not in _worker:
        _worker.update({each.name: each for each in targets(Path(scratch))})
        attack(_worker[name], "warm", 2 * _TRACED)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcome = attack(_worker[name], seed, inputs)
    outcome.grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    if outcome.grown_mb > PROCESS_MB:
        raise Fault(f"{name}: the process grew by {outcome.grown_mb:.0f} MB, {PROCESS_MB} are allowed")
    return outcome


def fuzz(chosen: Sequence[Target], inputs: int, seed: int, scratch: Path, progress: Progress) -> list[Outcome]:
    """Attacks the parsers one after the other. Raises Fault."""
    outcomes = []
    for target in chosen:
        count = max(1, round(inputs * target.share))
        progress.begin(f"{target.name}: {count} inputs", target.share)
        outcome, done = Outcome(target.name), 0
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            for part in range(_CHUNKS):
                upto = count * (part + 1) // _CHUNKS
                name = f"{seed}/{target.name}/{part}"
                try:
                    outcome.add(pool.submit(_chunk, target.name, name, upto - done, str(scratch)).result())
                except (BrokenProcessPool, Fault) as error:
                    crashed = f"{target.name}: the process crashed, or hung for {_HANG_SECONDS:g} s"
                    what = str(error) if isinstance(error, Fault) else crashed
                    raise Fault(f"{what}; again with --seed {seed} --inputs {inputs}") from error
                done = upto
                progress.advance(1 / _CHUNKS)
        outcomes.append(outcome)
    return outcomes


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fuzz", description=f"{ABOUT}\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--inputs", type=int, default=1_000_000, metavar="N", help="in all (default: 1000000)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="the same one gives the same inputs")
    parser.add_argument("--only", metavar="NAME", help="one parser, with its share of the inputs")
    parser.add_argument("--json", type=report_path, metavar="FILE", help="write the figures there")
    args = parser.parse_args(arguments)
    if args.inputs < 1:
        parser.error("--inputs must be at least 1")
    return args


@command("fuzz", Fault, OSError)
def main(arguments: Sequence[str] | None = None) -> None:
    """Attacks all parsers."""
    args = parse(arguments)
    with tempfile.TemporaryDirectory(prefix="pinhole-fuzz-") as scratch:
        known = targets(Path(scratch))
        chosen = [each for each in known if args.only in (None, each.name)]  # with as many inputs as among all
        if not chosen:
            raise Fault(f"there is no parser {args.only!r}; known: {', '.join(each.name for each in known)}")
        progress = Progress(sum(each.share for each in chosen))
        outcomes = fuzz(chosen, args.inputs, args.seed, Path(scratch), progress)
        progress.close(f"{sum(each.inputs for each in outcomes)} inputs, and every parser kept its word")
    print(f"{'parser':<11} {'inputs':>8} {'accepted':>9} {'refused':>8} {'worst':>9} {'allocated':>10} {'grown':>7}")
    for each in outcomes:
        print(f"{each.name:<11} {each.inputs:>8} {each.accepted:>9} {each.refused:>8} {each.worst_ms:>6.1f} ms "
              f"{each.peak_bytes / 1024:>7.0f} KB {each.grown_mb:>4.0f} MB")  # fmt: skip
    if args.json is not None:
        write_report(args.json, {"seed": args.seed, "rows": [asdict(each) for each in outcomes]})


if __name__ == "__main__":
    sys.exit(main())
