from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from file_server import FileServer, cut, other, page
from safetensors.torch import load_file

from shared.models.esrgan_layouts import shapes
from shared.models.stored_weights import Converted, folder, stored
from weights.__main__ import main
from weights.errors import WeightsError
from weights.fetch import FetchSettings, fetch
from weights.published import Published
from weights.record import Record

QUIET = FetchSettings()


def checkpoint(value: float) -> bytes:
    """An ESRGAN of one small block, as PyTorch saves it."""
    buffer = io.BytesIO()
    torch.save({name: torch.full(shape, value) for name, shape in shapes(1, 4, 2).items()}, buffer)
    return buffer.getvalue()


GOOD, NEWER = checkpoint(0.5), checkpoint(0.25)


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("weights.download._TRIES", 1)  # nobody waits for a second try here
    return folder()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer(GOOD) as server:
        yield server


def entry(*urls: str, **changes: Any) -> Published:
    fields: dict[str, Any] = {
        "name": "small", "purpose": "tests", "file": "small.pth", "kind": "esrgan", "gives": ("small.safetensors",),
        "licence": "Apache-2.0", "non_commercial": False, "page": "https://example.org/small", "urls": urls,
        "sha256": hashlib.sha256(GOOD).hexdigest(), "size": len(GOOD), "note": "",
    }  # fmt: skip
    return Published(**(fields | changes))


def quiet(_: str) -> None:
    """Hears nothing."""


def value() -> float:
    """Of the weights in the store."""
    return float(load_file(stored("small.safetensors"))["conv_last.bias"][0])


def test_weights_are_fetched_converted_and_recorded(server: FileServer, store: Path) -> None:
    assert fetch(entry(server.url()), QUIET, quiet) == [stored("small.safetensors")]
    assert value() == 0.5
    [recorded] = Record.load().of("small")
    assert recorded.origin == server.url()
    assert recorded.origin_sha256 == hashlib.sha256(GOOD).hexdigest()
    assert (recorded.licence, recorded.accepted) == ("Apache-2.0", None)
    assert {path.name for path in store.iterdir()} == {"small.safetensors", "store.json"}


def test_the_original_is_kept_if_asked_for(server: FileServer) -> None:
    fetch(entry(server.url()), FetchSettings(keep_original=True), quiet)
    assert stored("small.pth").read_bytes() == GOOD


def test_what_is_here_and_whole_is_not_fetched_again(server: FileServer) -> None:
    said: list[str] = []
    fetch(entry(server.url()), QUIET, quiet)
    assert fetch(entry(server.url()), QUIET, said.append) == [stored("small.safetensors")]
    assert len(server.requests) == 1
    assert f"here and whole (from {server.url()})" in said[0]
    fetch(entry(server.url()), FetchSettings(again=True), quiet)
    assert len(server.requests) == 2


def test_what_is_damaged_is_fetched_again(server: FileServer) -> None:
    fetch(entry(server.url()), QUIET, quiet)
    stored("small.safetensors").write_bytes(b"x")
    fetch(entry(server.url()), QUIET, quiet)
    assert value() == 0.5


@pytest.mark.parametrize("answer", [other(NEWER), other(GOOD[:-100]), cut(1000), page])
def test_a_wrong_file_is_refused_and_the_good_one_kept(answer: Any, server: FileServer) -> None:
    fetch(entry(server.url()), QUIET, quiet)
    record = Record.load().files
    server.always = answer
    with pytest.raises(WeightsError, match="no address gave the file"):
        fetch(entry(server.url()), FetchSettings(again=True), quiet)
    assert value() == 0.5
    assert Record.load().files == record


def test_an_interrupted_fetch_goes_on(server: FileServer) -> None:
    server.answers.append(cut(1000))
    with pytest.raises(WeightsError, match=f"after 1000 of {len(GOOD)} bytes"):
        fetch(entry(server.url()), QUIET, quiet)
    fetch(entry(server.url()), QUIET, quiet)
    assert server.ranges() == [None, "bytes=1000-"]
    assert value() == 0.5


def test_weights_come_from_a_file_where_there_is_no_network(tmp_path: Path) -> None:
    path = tmp_path / "downloaded.pth"
    path.write_bytes(GOOD)
    for source in (str(path), path.as_uri()):
        fetch(entry(), FetchSettings(source=source, again=True), quiet)
        assert value() == 0.5
    assert path.read_bytes() == GOOD
    assert Record.load().of("small")[0].origin == "downloaded.pth"


@pytest.mark.parametrize(("content", "said"), [(GOOD[:-1], "bytes, expected"), (NEWER, "SHA-256"), (b"", "0 bytes")])
def test_a_wrong_file_by_hand_is_refused(content: bytes, said: str, tmp_path: Path, server: FileServer) -> None:
    fetch(entry(server.url()), QUIET, quiet)
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=rf"a\.pth was refused: .*{said}.*still there"):
        fetch(entry(), FetchSettings(source=str(tmp_path / "a.pth"), again=True), quiet)
    assert value() == 0.5


@pytest.mark.parametrize("source", ["none.pth", "ftp://example.org/a.pth", "data:,x"])
def test_sources_that_are_no_file(source: str) -> None:
    with pytest.raises(WeightsError, match="there is no file"):
        fetch(entry(), FetchSettings(source=source), quiet)


def test_another_address_can_be_given(server: FileServer) -> None:
    fetch(entry("http://127.0.0.1:9/gone"), FetchSettings(source=server.url()), quiet)
    assert value() == 0.5


def test_secrets_in_an_address_are_not_recorded(server: FileServer, store: Path) -> None:
    server.answers.append(cut(1000))
    settings = FetchSettings(source=server.url("/small.pth?signature=secret"))
    with pytest.raises(WeightsError, match="1000"):
        fetch(entry(), settings, quiet)
    left = {path.name: path.read_bytes() for path in store.iterdir()}
    fetch(entry(), settings, quiet)
    assert Record.load().of("small")[0].origin == server.url("/small.pth")
    assert left.keys() == {"small.part", "small.part.json"}
    assert not any(b"secret" in data for data in (*left.values(), *(path.read_bytes() for path in store.iterdir())))


def test_weights_without_an_address_say_what_to_do() -> None:
    with pytest.raises(WeightsError, match=r"open https://example\.org/small, .*fetch small --from FILE"):
        fetch(entry(), QUIET, quiet)


def test_an_unknown_sum_is_settled_by_the_first_file(server: FileServer) -> None:
    said: list[str] = []
    unknown = entry(server.url(), sha256=None, size=None)
    fetch(unknown, QUIET, said.append)
    assert hashlib.sha256(GOOD).hexdigest() in "\n".join(said)
    server.content = NEWER
    with pytest.raises(WeightsError, match="SHA-256"):
        fetch(unknown, FetchSettings(again=True), quiet)
    assert value() == 0.5
    fetch(unknown, FetchSettings(again=True, new_version=True), quiet)
    assert value() == 0.25


def test_a_download_that_cannot_be_converted_is_not_fetched_twice(server: FileServer, store: Path) -> None:
    def refuse(checkpoint: Mapping[str, Any], kind: str | None) -> Converted:
        raise ValueError("not today")

    with pytest.raises(WeightsError, match="not today"):
        fetch(entry(server.url()), QUIET, quiet, known={"esrgan": refuse})
    fetch(entry(server.url()), QUIET, quiet)
    assert len(server.requests) == 1
    assert value() == 0.5


def test_a_file_of_another_kind_is_refused(server: FileServer) -> None:
    with pytest.raises(WeightsError, match="holds esrgan, not vox256"):
        fetch(entry(server.url(), kind="vox256"), QUIET, quiet)


def test_a_catalogue_that_promises_other_files_is_refused(server: FileServer) -> None:
    with pytest.raises(WeightsError, match="the catalogue says"):
        fetch(entry(server.url(), gives=("a.safetensors", "b.safetensors")), QUIET, quiet)


class User:
    """Somebody at a terminal."""

    def __init__(self, answer: bool) -> None:
        self.answer, self.questions = answer, 0

    def __call__(self, question: str) -> bool:
        self.questions += 1
        return self.answer


def test_a_non_commercial_licence_is_shown_and_asked_for_before_anything_comes(server: FileServer) -> None:
    said: list[str] = []
    terms = entry(server.url(), non_commercial=True, licence="CC BY-NC 4.0")
    user = User(False)
    with pytest.raises(WeightsError, match="was not accepted: nothing was fetched"):
        fetch(terms, QUIET, said.append, user)
    assert "CC BY-NC 4.0" in said[0]
    assert (user.questions, server.requests) == (1, [])
    fetch(terms, QUIET, quiet, User(True))
    assert Record.load().of("small")[0].accepted is True


def test_where_nobody_can_answer_the_licence_needs_an_option(server: FileServer) -> None:
    terms = entry(server.url(), non_commercial=True)
    with pytest.raises(WeightsError, match="--accept-licence"):
        fetch(terms, QUIET, quiet)
    assert server.requests == []
    fetch(terms, FetchSettings(accept_licence=True), quiet)
    assert Record.load().of("small")[0].accepted is True


def test_nobody_is_asked_about_a_free_licence(server: FileServer) -> None:
    user = User(False)
    fetch(entry(server.url()), QUIET, quiet, user)
    assert user.questions == 0


def catalogue(path: Path, **entries: Published) -> Path:
    """The file that a user could have written."""
    fields = {}
    for name, each in entries.items():
        fields[name] = {key: item for key, item in vars(each).items() if key not in ("name", "size")}
        fields[name]["bytes"] = each.size
    path.write_text(json.dumps(fields))
    return path


def test_the_whole_command(server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = catalogue(tmp_path / "mine.json", small=entry(server.url(), non_commercial=True))
    server.answers.append(cut(1000))
    assert main(["fetch", "small", "--catalogue", str(path), "--accept-licence"]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("python -m weights: no address gave the file")
    assert main(["fetch", "small", "--catalogue", str(path), "--accept-licence"]) == 0
    assert capsys.readouterr().out == f"{stored('small.safetensors')}\n"
    assert main(["list", "--catalogue", str(path)]) == 0
    assert any(line.split()[:2] == ["small", "fetched"] for line in capsys.readouterr().out.splitlines())
    assert main(["verify"]) == 0
    stored("small.safetensors").write_bytes(b"x")
    assert main(["verify"]) == 1
    assert "small.safetensors" in capsys.readouterr().err
