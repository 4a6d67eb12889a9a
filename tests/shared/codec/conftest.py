"""What the codec tests share: the example basis and comparison with golden bytes."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from codec_examples import make_basis

from shared.codec.motion_basis import MotionBasis

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.fixture(scope="session")
def basis() -> MotionBasis:
    return make_basis()


@pytest.fixture(scope="session")
def golden() -> Callable[[str, bytes], None]:
    """Compare with tests/golden/NAME; rewrite it with GENERATE_GOLDEN=1 pytest tests/shared/codec."""

    def check(name: str, data: bytes) -> None:
        path = GOLDEN / name
        if os.environ.get("GENERATE_GOLDEN") == "1":
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
            pytest.fail(f"{name} was written; run again without GENERATE_GOLDEN to compare")
        assert data == path.read_bytes(), (
            f"{name}: the wire format changed; raise its version and regenerate on purpose"
        )

    return check
