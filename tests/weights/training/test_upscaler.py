"""The recipe of the upscaler: pairs, batches, losses, and a whole training in a few steps."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from call_examples import psnr, write_clip
from safetensors.torch import load_file

from shared.models import precision
from shared.models.engine import Picture
from shared.models.esrgan import Esrgan
from shared.resampling import resampled
from weights.training import upscaler_pairs
from weights.training.upscaler import Settings, Trainer, losses, main
from weights.training.upscaler_figures import evaluate, luma_psnr, sharpness
from weights.training.upscaler_pairs import DEV_QUALITIES, LOSSLESS, Pairs, batch, load

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folders(person: list[Picture], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Training clips of 256 (with landmarks) and 512 px, and a dev clip."""
    train, dev = (tmp_path_factory.mktemp(name) for name in ("train", "dev"))
    write_clip(train / "a.mp4", person[:30])
    write_clip(train / "b_512.mp4", [resampled(p, 512) for p in person[:14]])
    write_clip(train / "raw_c.mp4", person[:2])
    write_clip(dev / "d.mp4", person[40:46])
    points = np.zeros((3, 478), np.int16)
    points[0], points[1] = 250, 500
    ok = np.ones(30, bool)
    np.savez(train / "a.npz", base=points, d=np.zeros((3, 478, 30), np.int8), scale=np.full(3, 1000, np.float32), ok=ok)
    return train, dev


@pytest.fixture(scope="module")
def cache(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cache") / "pairs.npz"
    train, dev = map(str, folders)
    assert main(["--prepare", "--clips", train, "--dev", dev, "--cache", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def pairs(cache: Path) -> dict[int, Pairs]:
    return load(cache, dev=False)


def trainer(seed: int = 0, half: bool | None = None) -> Trainer:
    return Trainer(Settings(steps=100, batch=2, rate=1e-3, patch=16, gradient=0.5, seed=seed), CPU, half=half)


def test_pairs_by_size(pairs: dict[int, Pairs]) -> None:
    assert {side: tuple(p.low.shape[1:]) for side, p in pairs.items()} == {256: (64, 64, 3), 512: (128, 128, 3)}
    assert set(pairs[256].clip) == {"a"} and set(pairs[512].clip) == {"b_512"}
    for side, p in pairs.items():
        assert len(p.low) == len(p.of) == len(p.quality) == 3 * len(p.truth)
        assert all(q == LOSSLESS or 35 <= q <= 85 for q in p.quality.tolist())
        for low, of in zip(p.low.numpy(), p.of.tolist(), strict=True):
            assert psnr(low, resampled(p.truth[of].numpy(), side // 4)) > 22


def test_eyes_and_mouth_are_known_where_there_are_landmarks(pairs: dict[int, Pairs]) -> None:
    assert pairs[256].focus.numpy() == pytest.approx(np.broadcast_to([0.25, 0.5], (len(pairs[256].truth), 3, 2)))
    assert pairs[512].focus.isnan().all()


def test_dev_pictures_have_every_quality_and_are_kept_apart(cache: Path) -> None:
    dev = load(cache, dev=True)
    assert list(dev) == [256] and set(dev[256].clip) == {"d"}
    assert dev[256].quality.tolist() == list(DEV_QUALITIES) * len(dev[256].truth)


def test_patches_are_of_one_place(pairs: dict[int, Pairs]) -> None:
    low, truth = batch(pairs, 12, 16, torch.Generator().manual_seed(0))
    assert low.shape == (12, 3, 16, 16) and truth.shape == (12, 3, 64, 64)
    assert float((torch.nn.functional.avg_pool2d(truth, 4) - low).abs().mean()) < 0.03


def test_a_patch_may_be_the_whole_small_picture(pairs: dict[int, Pairs]) -> None:
    assert batch({256: pairs[256]}, 2, 64, torch.Generator())[1].shape == (2, 3, 256, 256)


def test_half_of_the_patches_look_at_eyes_or_mouth() -> None:
    """A picture of its own coordinates says where the patches are from; the face is at its lower right."""
    x = torch.arange(64, dtype=torch.uint8)
    picture = torch.stack([x.expand(64, 64), x[:, None].expand(64, 64), torch.zeros(64, 64, dtype=torch.uint8)], -1)
    truth = picture.repeat_interleave(4, 0).repeat_interleave(4, 1)[None]
    zero = torch.zeros(1, dtype=torch.long)
    made = Pairs(truth, picture[None], zero, zero, torch.full((1, 3, 2), 0.875), ["a"])
    low, _ = batch({256: made}, 400, 8, torch.Generator().manual_seed(0))
    near = ((low.amax((2, 3))[:, 1] * 255) > 50).float().mean()  # row; the gain of at most 15 % hardly matters
    assert 0.45 < float(near) < 0.8


def test_the_network_starts_as_an_enlargement(person: list[Picture]) -> None:
    network = trainer().averaged()
    low = torch.from_numpy(resampled(person[0], 64)).permute(2, 0, 1)[None].float() / 255
    nearest = torch.nn.functional.interpolate(low, scale_factor=4)
    with torch.inference_mode():
        assert float((network(low) - nearest).abs().mean()) < 0.1


def test_losses_are_zero_only_for_the_truth() -> None:
    truth = torch.rand(1, 3, 8, 8)
    shifted = losses(truth + 0.1, truth)
    assert float(losses(truth, truth)["pixel"]) == pytest.approx(0, abs=1e-6)
    assert 0.05 < float(shifted["pixel"]) < 0.1
    assert float(shifted["gradient"]) == pytest.approx(0, abs=1e-6)
    assert float(losses(truth.flip(3), truth)["gradient"]) > 0.1


def test_luma_psnr_is_that_of_the_benchmarks(person: list[Picture]) -> None:
    from benchmarks.metrics import luma
    from benchmarks.metrics import psnr as reference

    a, b = person[0], person[9]
    assert luma_psnr(a, b) == pytest.approx(reference(luma(a), luma(b)), abs=1e-4)


def test_sharpness_is_gradient_energy_over_the_truth(person: list[Picture]) -> None:
    assert sharpness(person[0], person[0]) == pytest.approx(1)
    assert sharpness(np.asarray(cv2.blur(person[0], (3, 3)), np.uint8), person[0]) < 0.9
    assert sharpness(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)) == 0


@pytest.mark.parametrize("half", [False, True])
def test_training_lowers_the_loss_and_goes_on_where_it_stopped(
    half: bool, pairs: dict[int, Pairs], tmp_path: Path
) -> None:
    one = trainer(half=half)
    first = np.mean([one.advance(pairs)["pixel"] for _ in range(3)])
    for _ in range(25):
        last = one.advance(pairs)["pixel"]
    assert last < first
    one.save(tmp_path / "checkpoint.pt")
    other = trainer(seed=5, half=half)
    other.load(tmp_path / "checkpoint.pt")
    assert one.advance(pairs) == other.advance(pairs)
    assert all(torch.equal(v, other.average[k]) for k, v in one.average.items())


def test_half_precision_is_taken_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    for multiplies in (True, False):
        monkeypatch.setattr(precision, "_cpu_multiplies_bf16", lambda found=multiplies: found)
        assert trainer().half is multiplies
    assert trainer(half=True).half


def test_a_run_may_start_from_the_weights_of_another(tmp_path: Path) -> None:
    one, other = trainer(0), trainer(1)
    one.export(tmp_path / "w.safetensors")
    weights = load_file(tmp_path / "w.safetensors")
    other.initialise(weights)
    for state in (other.network.state_dict(), other.average):
        assert all(torch.equal(v.half(), weights[k]) for k, v in state.items())
    with pytest.raises(ValueError, match="another network"):
        other.initialise({"conv_first.weight": weights["conv_first.weight"]})


def test_the_command_trains_resumes_and_leaves_weights_that_upscale(
    cache: Path, tmp_path: Path, person: list[Picture], capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    options = ["--cache", str(cache), "--run", str(run), "--batch", "2", "--patch", "16", "--device", "cpu"]
    assert main([*options, "--steps", "3"]) == 0
    assert main([*options, "--steps", "5"]) == 0
    assert "going on at step 3" in capsys.readouterr().out
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [3, 5]
    for figure in ("samples_per_s", "pixel", "64to256_q65_ours", "64to256_q65_bicubic", "64to256_qmax_ours_eye_sharp"):
        assert lines[1][figure] > 0
    sheet = cv2.imread(str(next(iter(sorted(run.glob("sheet_*.png"))))))
    assert sheet is not None and sheet.shape == (256, 6 * 256, 3)
    drawn = Esrgan(run / "weights.safetensors").upscale(resampled(person[0], 64), 256)
    assert psnr(drawn, person[0]) > 15


def test_evaluation_measures_what_the_receiver_will_draw(cache: Path, tmp_path: Path) -> None:
    dev = load(cache, dev=True)
    made = trainer()
    made.export(tmp_path / "w.safetensors")
    scores, _ = evaluate(made.averaged(), dev)
    low = dev[256].low[dev[256].quality == 65].numpy()
    truth = dev[256].truth.numpy()
    upscaler = Esrgan(tmp_path / "w.safetensors")
    own = [luma_psnr(upscaler.upscale(small, 256), true) for small, true in zip(low, truth, strict=True)]
    assert scores["64to256_q65_ours"] == pytest.approx(float(np.mean(own)), abs=0.02)  # weights are rounded to fp16
    plain = [luma_psnr(resampled(small, 256), true) for small, true in zip(low, truth, strict=True)]
    assert scores["64to256_q65_bicubic"] == pytest.approx(float(np.mean(plain)), abs=1e-6)


def test_a_cache_that_cannot_be_used_is_refused(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.load(cache) as z:
        arrays = {key: z[key] for key in z.files}
    bad = {
        "damaged or another file": {k: v for k, v in arrays.items() if k != "focus"},
        "do not fit together": arrays | {"of": arrays["of"] + 100},
        "cannot be decoded": arrays | {"data": arrays["data"] // 2},
        "no dev pictures": arrays | {"dev": np.zeros_like(arrays["dev"])},
    }
    for message, values in bad.items():
        np.savez(tmp_path / "bad.npz", **values)
        assert main(["--cache", str(tmp_path / "bad.npz"), "--run", str(tmp_path / "run")]) == 1
        assert message in capsys.readouterr().err
    assert main(["--cache", str(tmp_path / "none.npz"), "--run", str(tmp_path / "run")]) == 1
    assert "--prepare" in capsys.readouterr().err


def test_the_command_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = {
        "--clips FOLDER and --dev FOLDER": ["--cache", "c.npz", "--prepare"],
        "--run FOLDER": ["--cache", "c.npz"],
    }
    for message, arguments in cases.items():
        with pytest.raises(SystemExit):
            main(arguments)
        assert message in capsys.readouterr().err
    with pytest.raises(ValueError, match="no clips"):
        upscaler_pairs.make_pairs([tmp_path], [tmp_path], tmp_path / "c.npz")


def test_training_needs_no_encoder() -> None:
    script = "import sys; sys.modules['av'] = None; import weights.training.upscaler"
    subprocess.run([sys.executable, "-c", script], check=True)
