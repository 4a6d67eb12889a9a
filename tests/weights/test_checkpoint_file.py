from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from weights.checkpoint import load
from weights.errors import WeightsError

STATE = {"conv.weight": torch.arange(6.0).reshape(2, 3)}


class Exploding:
    """Pickled, it would write a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def saved(path: Path, **options: bool) -> Path:
    torch.save({"epoch": 3, "net": STATE}, path, **options)
    return path


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}])
def test_both_formats_of_pytorch_are_loaded(options: dict[str, bool], tmp_path: Path) -> None:
    loaded = load(saved(tmp_path / "a.pth.tar", **options))
    assert loaded["epoch"] == 3
    assert torch.equal(loaded["net"]["conv.weight"], STATE["conv.weight"])


def test_safetensors_are_loaded(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "a.safetensors")
    assert torch.equal(load(tmp_path / "a.safetensors")["conv.weight"], STATE["conv.weight"])


@pytest.mark.parametrize("new", [True, False])
def test_code_in_a_checkpoint_is_not_run(new: bool, tmp_path: Path) -> None:
    mark = tmp_path / "exploded"
    torch.save({"a": Exploding(mark)}, tmp_path / "evil.pth", _use_new_zipfile_serialization=new)
    with pytest.raises(WeightsError, match=r"evil\.pth needs code to be loaded \(.*\).*state_dict"):
        load(tmp_path / "evil.pth")
    assert not mark.exists()


def test_a_bare_pickle_is_not_run_either(tmp_path: Path) -> None:
    mark = tmp_path / "exploded"
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Exploding(mark)))
    with pytest.raises(WeightsError, match="evil"):
        load(tmp_path / "evil.pkl")
    assert not mark.exists()


@pytest.mark.parametrize("keep", [0.05, 0.5, 0.99])
@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_a_file_that_is_cut_off_says_so(form: str, keep: float, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    if form == "safetensors":
        save_file({"a": torch.zeros(1000)}, path)
    else:
        torch.save({"a": torch.zeros(1000)}, path, _use_new_zipfile_serialization=form == "zip")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(WeightsError, match="damaged"):
        load(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"\n <!DOCTYPE html><html>", "a web page"),
        (b"<html><body>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "a TensorFlow model"),
        (b"\x1c\0\0\0TFL3" + bytes(100), "a TensorFlow model"),
        (b"\x1f\x8b\x08" + bytes(100), "an archive"),
        (b"a" * 257 + b"ustar\x00" + bytes(300), "an archive"),
        (b"hello, world, this is a text", "not a checkpoint"),
        (bytes(1000), "not a checkpoint"),
    ],
)
def test_other_files_are_called_by_their_names(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=said):
        load(tmp_path / "a.pth")


def test_a_zip_archive_of_something_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("model/weights.pth", b"abc")
    with pytest.raises(WeightsError, match="a zip archive, not a checkpoint: unpack it"):
        load(tmp_path / "a.zip")


def test_a_torchscript_program(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        for name in ("data.pkl", "constants.pkl", "code/net.py"):
            archive.writestr(f"a/{name}", b"")
    with pytest.raises(WeightsError, match="TorchScript program"):
        load(tmp_path / "a.pt")


def test_an_archive_that_would_blow_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weights.checkpoint._LARGEST", 100_000)
    with zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"")
        archive.writestr("a/data/0", bytes(10_000_000))
    with pytest.raises(WeightsError, match="unpack to far more"):
        load(tmp_path / "a.pth")


def test_a_tensorflow_folder_and_another_one(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is a folder"):
        load(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"x")
    with pytest.raises(WeightsError, match="--upscaler tfhub"):
        load(tmp_path)


def test_a_tensor_alone_has_no_names(tmp_path: Path) -> None:
    torch.save(torch.zeros(3), tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="holds a Tensor, not weights by name"):
        load(tmp_path / "a.pth")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="there is no file"):
        load(tmp_path / "none.pth")
