"""Golden answers: an engine that does not reproduce those of the export is refused."""

import numpy as np
import pytest

from trainer.artifact import golden
from trainer.artifact.golden_file import compute_tolerance
from trainer.generators import signatures as generator
from trainer.imaging import Imaging

IMAGING = Imaging(32, 64)
VECTOR = np.array([0.25, 0.5, 0.25], np.float32)


@pytest.fixture
def artifact_dir(tmp_path):
    """A folder with the golden answers of two images."""
    images = {f"{number}.png": generator.generate_image(3, 1, "genuine", number)[0] for number in range(2)}
    golden.write(tmp_path, images, IMAGING, {"float32": lambda canonical: VECTOR[None]})
    return tmp_path


def replay(folder, imaging, engine) -> int:
    """Replay all golden answers on an engine, and return their number."""
    cases = golden.read(folder, imaging, "float32")
    for case in cases:
        case.replay(engine)
    return len(cases)


@pytest.mark.parametrize("component", range(3))
def test_a_component_is_a_mismatch_beyond_the_tolerance_and_not_within_it(artifact_dir, component):
    def make_engine(tolerances):
        change = np.zeros(3, np.float32)
        change[component] = tolerances * compute_tolerance(VECTOR.tolist(), "float32")
        return lambda canonical: (VECTOR + change)[None]

    assert replay(artifact_dir, IMAGING, make_engine(0.5)) == 2
    with pytest.raises(golden.GoldenMismatch, match="away from what was recorded"):
        replay(artifact_dir, IMAGING, make_engine(2))


def test_an_answer_that_is_no_number_is_a_mismatch(artifact_dir):
    with pytest.raises(golden.GoldenMismatch):
        replay(artifact_dir, IMAGING, lambda canonical: np.full((1, 3), np.nan, np.float32))


def test_another_canonical_image_is_a_mismatch_whatever_the_answer(artifact_dir):
    with pytest.raises(golden.GoldenMismatch, match="another canonical image"):
        replay(artifact_dir, Imaging(64, 128), lambda canonical: VECTOR[None])
