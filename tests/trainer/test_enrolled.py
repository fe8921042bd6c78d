"""A file of enrolled people: what was written is read, and what no encoder of ours could have made is refused."""

import dataclasses

import numpy as np
import pytest

from trainer.artifact.enrolment import Enrolled, NotEnrolled, read, write

VECTORS = np.eye(4, dtype=np.float32)[:3]
PEOPLE = Enrolled("encoder", np.array(["a", "a", "b"]), np.array(["1.png", "2.png", "3.png"]), VECTORS)


def test_what_was_written_is_read(tmp_path):
    write(PEOPLE, tmp_path / "people.npz")
    found = read(tmp_path / "people.npz", "encoder")
    np.testing.assert_array_equal(found.of("a"), VECTORS[:2])
    assert found.files.tolist() == PEOPLE.files.tolist()


@pytest.mark.parametrize(
    "change",
    [
        {"embeddings": VECTORS.astype(np.float64)},
        {"embeddings": VECTORS * 2},
        {"embeddings": VECTORS[:2]},
        {"files": PEOPLE.files[:2]},
        {"writers": PEOPLE.writers[:2]},
    ],
    ids=["float64", "length 2", "an embedding less", "a file less", "a writer less"],
)
def test_a_file_whose_parts_do_not_fit_is_refused_as_damaged(tmp_path, change):
    write(dataclasses.replace(PEOPLE, **change), tmp_path / "people.npz")
    with pytest.raises(NotEnrolled, match="is damaged"):
        read(tmp_path / "people.npz")
