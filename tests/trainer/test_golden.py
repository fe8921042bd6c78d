"""Golden answers: what was recorded at export is reproduced, or the artefact is refused."""

import numpy as np
import pytest

from trainer.artifact import golden
from trainer.artifact.golden_file import TOLERANCE
from trainer.imaging import Imaging
from trainer.samples import generator

IMAGING = Imaging(32, 64)
VECTOR = np.array([0.25, 0.5, 0.25], np.float32)


@pytest.fixture
def recorded(tmp_path):
    """Two images and what an engine answered to them."""
    images = {f"{number}.png": generator.image(3, 1, "genuine", number)[0] for number in range(2)}
    golden.write(tmp_path, images, IMAGING, {"float32": lambda canonical: VECTOR[None]})
    return tmp_path


def replay(folder, imaging, engine) -> int:
    """Replay all golden images on an engine; how many there are."""
    expected = golden.read(folder, imaging, "float32")
    for each in expected:
        each.replay(engine)
    return len(expected)


@pytest.mark.parametrize("place", range(3))
def test_one_number_further_away_than_the_tolerance_is_a_mismatch_and_one_within_it_is_none(recorded, place):
    def off_by(share):
        change = np.zeros(3, np.float32)
        change[place] = share * TOLERANCE["float32"]
        return lambda canonical: (VECTOR + change)[None]

    assert replay(recorded, IMAGING, off_by(0.5)) == 2
    with pytest.raises(golden.GoldenMismatch, match="away from what was recorded"):
        replay(recorded, IMAGING, off_by(2))


def test_an_answer_that_is_no_number_is_a_mismatch(recorded):
    with pytest.raises(golden.GoldenMismatch):
        replay(recorded, IMAGING, lambda canonical: np.full((1, 3), np.nan, np.float32))


def test_another_canonical_image_is_a_mismatch_whatever_the_answer(recorded):
    with pytest.raises(golden.GoldenMismatch, match="another canonical image"):
        replay(recorded, Imaging(64, 128), lambda canonical: VECTOR[None])
