import pytest
from base_examples import scene

from benchmarks.base_loss import REPEATS, Layer, bundles, code, play
from shared.codec import av1

pytestmark = pytest.mark.skipif(not av1.available(), reason="this PyAV has no SVT-AV1 or dav1d")


@pytest.fixture(scope="module")
def layer() -> Layer:
    return code(scene(64, 20) * 10, 64, 63, 2)


@pytest.mark.parametrize("repeat", REPEATS)
def test_without_loss_every_frame_has_the_newest_base(layer: Layer, repeat: str) -> None:
    row = play("scene", layer, repeat, 0.0, 1)
    assert row.with_base == 1 and row.age_ms == pytest.approx(20)


def test_repetition_costs_bytes_and_repairs_most_losses(layer: Layer) -> None:
    none, references, everything = (play("scene", layer, repeat, 0.2, 1) for repeat in REPEATS)
    assert none.section_kbps < references.section_kbps < everything.section_kbps
    assert none.with_base < references.with_base <= everything.with_base


def test_what_is_repeated(layer: Layer) -> None:
    for repeat, frames in (("none", [1, 3]), ("references", [-1, 1, 3]), ("all", [-3, -1, 1, 3])):
        assert [packet.frame for packet in bundles(layer, repeat)[1]] == frames
