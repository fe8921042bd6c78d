"""Files of enrolments: read as they were written, and refused if they are damaged."""

import dataclasses

import numpy as np
import pytest

from trainer.artifact.enrolment import EnrolmentError, Enrolments, read, write

VECTORS = np.eye(4, dtype=np.float32)[:3]
ENROLMENTS = Enrolments("encoder", np.array(["a", "a", "b"]), np.array(["1.png", "2.png", "3.png"]), VECTORS)


def test_enrolments_are_read_as_they_were_written(tmp_path):
    write(ENROLMENTS, tmp_path / "enrolments.npz")
    enrolments = read(tmp_path / "enrolments.npz", "encoder")
    np.testing.assert_array_equal(enrolments.embeddings_of("a"), VECTORS[:2])
    assert enrolments.files.tolist() == ENROLMENTS.files.tolist()


@pytest.mark.parametrize(
    "change",
    [
        {"embeddings": VECTORS.astype(np.float64)},
        {"embeddings": VECTORS * 2},
        {"embeddings": VECTORS[:2]},
        {"files": ENROLMENTS.files[:2]},
        {"writers": ENROLMENTS.writers[:2]},
    ],
    ids=["float64", "length 2", "too few embeddings", "too few files", "too few writers"],
)
def test_a_file_with_inconsistent_arrays_is_refused_as_damaged(tmp_path, change):
    write(dataclasses.replace(ENROLMENTS, **change), tmp_path / "enrolments.npz")
    with pytest.raises(EnrolmentError, match="is damaged"):
        read(tmp_path / "enrolments.npz")
