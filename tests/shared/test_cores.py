"""Which thread gets which cores."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from call_examples import ROOT

from shared import cores
from shared.cores import DRAWERS, PATIENT, Shares, Work, allowed, available, settle, shares, unhurried, workers

ONE_WAY, SENDS, BOTH = Work(draws=True), Work(extracts=True), Work(draws=True, extracts=True)


@pytest.fixture
def threads() -> Iterator[None]:
    """Puts back how many threads there are."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("count", "work", "expected"),
    [
        (1, ONE_WAY, Shares(2, 1, 1)),
        (2, ONE_WAY, Shares(2, 1, 1)),
        (4, ONE_WAY, Shares(2, 2, 1)),
        (16, ONE_WAY, Shares(2, 8, 1)),
        (1, SENDS, Shares(1, 1, 1)),
        (16, SENDS, Shares(1, 1, 1)),
        (1, BOTH, Shares(2, 1, 1)),
        (2, BOTH, Shares(2, 1, 1)),
        (4, BOTH, Shares(2, 1, 1)),
        (5, BOTH, Shares(2, 2, 1)),
        (16, BOTH, Shares(2, 7, 1)),
        (8, Work(draws=True, calls=4), Shares(4, 2, 1)),
        (2, Work(draws=True, calls=4), Shares(2, 1, 1)),
        (16, Work(extracts=True, quick=False), Shares(1, 1, 16)),
        (16, Work(draws=True, extracts=True, quick=False), Shares(2, 7, 8)),
        (16, Work(draws=True, extracts=True, calls=4, on_gpu=True), Shares(1, 1, 1)),
    ],
)
def test_what_runs_decides_who_gets_what(count: int, work: Work, expected: Shares) -> None:
    assert shares(count, work) == expected


def test_a_film_is_decoded_by_half_of_the_cores_and_few_at_most() -> None:
    assert [unhurried(count) for count in (1, 2, 3, 4, 8, 64)] == [1, 1, 1, 2, 4, 4]


@pytest.mark.parametrize("calls", [1, 2, 7])
@pytest.mark.parametrize("extracts", [False, True])
def test_frames_that_are_drawn_together_never_have_more_threads_than_there_are_cores(
    calls: int, extracts: bool
) -> None:
    for count in range(1, 65):
        given = shares(count, Work(draws=True, extracts=extracts, calls=calls))
        assert given.drawers >= DRAWERS
        busy = given.drawers * given.drawing + extracts * given.extracting
        assert busy <= max(count, DRAWERS + extracts)


@pytest.mark.parametrize(
    ("quota", "left"),
    [("max 100000", 8), ("200000 100000", 2), ("150000 100000", 2), ("10000 100000", 1), ("9900000 100000", 8),
     ("", 8), ("100000", 8), ("a b", 8), ("1 0", 8)],
)  # fmt: skip
def test_a_containers_quota_counts(quota: str, left: int) -> None:
    assert allowed(8, quota) == left


def test_cores_that_this_process_is_kept_from_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    monkeypatch.setattr(cores, "_QUOTA", cores.Path("there is none"))
    assert available() == 2


@pytest.mark.usefixtures("threads")
def test_every_worker_computes_with_its_own_share() -> None:
    assert settle(Work(draws=True), 6) == Shares(2, 3, 1)
    pools = [workers(1, "a", 2), workers(1, "b"), workers(1, "c", 4)]
    for pool in pools:
        pool.submit(torch.get_num_threads).result()
    assert [pool.submit(torch.get_num_threads).result() for pool in pools] == [2, 1, 4]
    assert torch.get_num_threads() == 3
    for pool in pools:
        pool.shutdown()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the threads of a process apart")
@pytest.mark.usefixtures("threads")
def test_who_is_patient_leaves_the_processor_to_the_others() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with workers(1, "a", patient=True) as patient, workers(1, "b") as other:
        found = [pool.submit(os.getpriority, os.PRIO_PROCESS, 0).result() for pool in (patient, other)]
    assert found == [min(before + PATIENT, 19), before]
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


COUNTS_THREADS = re.compile(
    r"set_num_threads|set_num_interop_threads|setNumThreads|cpu_count|sched_getaffinity|ThreadPoolExecutor\(|"
    r"OMP_WAIT_POLICY|thread_count = (?!1\b|.*unhurried)"
)


def test_nobody_else_counts_threads() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for folder in ("shared", "sender", "receiver")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path != ROOT / "shared" / "cores.py"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if COUNTS_THREADS.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("program", ["sender", "receiver"])
def test_the_environment_is_there_before_the_libraries_read_it(program: str) -> None:
    script = (
        "import sys, os\n"
        "class Watch:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name in ('torch', 'numpy'):\n"
        "            print(name, os.environ.get('OMP_WAIT_POLICY'), os.environ.get('OPENBLAS_NUM_THREADS'))\n"
        "sys.meta_path.insert(0, Watch())\n"
        f"import {program}.__main__\n"
    )
    environment = {k: v for k, v in os.environ.items() if k not in cores.ENVIRONMENT}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.splitlines()) == {"torch PASSIVE 1", "numpy PASSIVE 1"}
