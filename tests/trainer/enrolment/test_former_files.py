"""Files of enrolments of earlier releases are read as they were written, and refused if they are damaged."""

import numpy as np
import pytest

from trainer.enrolment import former_files
from trainer.enrolment.errors import EnrolmentError

VECTORS = np.eye(4, dtype=np.float32)[:3]
VALUES = {
    "encoder": np.array("encoder"),
    "writers": np.array(["a", "a", "b"]),
    "files": np.array(["1.png", "2.png", "3.png"]),
    "embeddings": VECTORS,
}


def read(tmp_path, **changes):
    np.savez(tmp_path / "enrolled.npz", **{**VALUES, **changes})
    return list(former_files.read(tmp_path / "enrolled.npz", "encoder"))


def test_rows_are_read_as_they_were_written(tmp_path):
    rows = read(tmp_path)
    assert [(name, label) for name, label, _ in rows] == [("a", "1.png"), ("a", "2.png"), ("b", "3.png")]
    np.testing.assert_array_equal([vector for *_, vector in rows], VECTORS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embeddings": VECTORS.astype(np.float64)}, "is damaged"),
        ({"embeddings": VECTORS * 2}, "is damaged"),
        ({"embeddings": VECTORS[:2]}, "is damaged"),
        ({"files": VALUES["files"][:2]}, "is damaged"),
        ({"writers": VALUES["writers"][:2]}, "is damaged"),
        ({"encoder": np.array("other")}, "another model"),
    ],
    ids=["float64", "length 2", "too few embeddings", "too few files", "too few writers", "other encoder"],
)
def test_a_file_that_is_inconsistent_or_of_another_encoder_is_refused(tmp_path, change, message):
    with pytest.raises(EnrolmentError, match=message):
        read(tmp_path, **change)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut"])
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "enrolled.npz").write_bytes(content)
    with pytest.raises(EnrolmentError, match="no file of enrolments"):
        list(former_files.read(tmp_path / "enrolled.npz", "encoder"))
