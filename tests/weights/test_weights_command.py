from __future__ import annotations

from pathlib import Path

import pytest
import torch

from shared.models.esrgan_layouts import shapes
from shared.models.stored_weights import folder, stored
from weights.__main__ import main
from weights.published import published
from weights.verify import embedded, embedded_path

COMMANDS = ("list", "fetch", "convert", "verify", "where")


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    return folder()


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "own.pth"
    torch.save({name: torch.ones(shape) for name, shape in shapes(1, 4, 2).items()}, path)
    return path


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_is_there_for_every_command(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: python -m weights")
    assert command or all(name in text for name in COMMANDS)


def test_a_new_user_sees_what_is_embedded_and_what_can_be_had(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert rows.keys() == {"name", *embedded(), *published()}
    assert all("embedded" in rows[name] for name in embedded())
    assert "by hand" in rows["adasr"]
    assert "not fetched" in rows["esrgan"] and "66.9 MB" in rows["esrgan"] and "Apache-2.0" in rows["esrgan"]
    assert "non-commercial" in rows["vox256"]


def test_embedded_weights_need_no_step(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "compact-motion"]) == 0
    assert "nothing to fetch" in capsys.readouterr().out
    assert main(["verify"]) == 0
    assert not store.exists()


def test_where(store: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["where"]) == 0
    assert capsys.readouterr().out == f"{store}\n"
    assert main(["where", "compact-basis"]) == 0
    assert capsys.readouterr().out == f"{embedded_path(embedded()['compact-basis'])}\n"
    assert main(["where", "esrgan"]) == 1
    assert "python -m weights list" in capsys.readouterr().err
    main(["convert", str(checkpoint)])
    capsys.readouterr()
    assert main(["where", "esrgan"]) == 0
    assert capsys.readouterr().out == f"{stored('esrgan.safetensors')}\n"


def test_a_checkpoint_of_ones_own(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(checkpoint), "--name", "faces"]) == 0
    said = capsys.readouterr()
    assert said.out == f"{stored('faces.safetensors')}\n"
    assert "own.pth holds esrgan" in said.err
    main(["list"])
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("faces"))
    assert "converted" in row and row.endswith("from own.pth")
    assert checkpoint.exists()


@pytest.mark.parametrize("content", [b"<html>", b"", b"PK\x03\x04 cut off", b"text"])
def test_a_wrong_file_is_one_line_on_stderr(
    content: bytes, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    assert main(["convert", str(tmp_path / "a.pth")]) == 1
    assert capsys.readouterr().err.startswith("python -m weights: a.pth is ")
    assert not store.exists()


@pytest.mark.parametrize("name", ["../x", "A", "a b", "x" * 33])
def test_names_that_would_leave_the_store(name: str, checkpoint: Path, store: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["convert", str(checkpoint), "--name", name])
    assert ended.value.code == 2
    assert not store.exists()


def test_unknown_weights(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "vox512"]) == 1
    assert "there are no weights 'vox512'; known: vox256, adasr" in capsys.readouterr().err


def test_weights_that_only_a_browser_gets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "adasr"]) == 1
    assert "python -m weights fetch adasr --from FILE" in capsys.readouterr().err


def test_an_interrupted_command_says_what_it_leaves(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        stored("esrgan.part").write_bytes(b"x")
        raise KeyboardInterrupt

    monkeypatch.setattr("weights.fetch.download", interrupted)
    assert main(["fetch", "esrgan"]) == 130
    assert "interrupted; esrgan.part keeps what has come" in capsys.readouterr().err
