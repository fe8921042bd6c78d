"""``trainer.enrol`` stores the embeddings of writers, and ``predictor.offline`` verifies signatures with them."""

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from predictor import offline
from trainer import enrol
from trainer.artifact import enrolment, explain
from trainer.artifact.artifact import Artifact


@pytest.fixture
def enrolments_file(verifier_artifact, verification_data, tmp_path):
    """The file of the enrolments of all writers."""
    path = tmp_path / "enrolments.npz"
    assert enrol.main([str(verifier_artifact), str(verification_data), "--out", str(path)]) == 0
    return path


def test_the_genuine_signatures_of_all_writers_are_enrolled_for_this_encoder_only(
    enrolments_file, verifier_artifact, verification_data
):
    verifier = Artifact(verifier_artifact)
    enrolments = enrolment.read(enrolments_file, verifier.encoder)
    assert len(np.unique(enrolments.writers)) == 16
    assert enrolments.embeddings.shape == (16 * 7, verifier.manifest.vector_size)
    first = min((verification_data / "003").iterdir())
    assert np.array_equal(enrolments.embeddings_of("003")[0], verifier.encode(first.read_bytes()).vector)
    with pytest.raises(enrolment.EnrolmentError, match="16 writers, such as 001, 002, 003"):
        enrolments.embeddings_of("nobody")
    with pytest.raises(enrolment.EnrolmentError, match="another model"):
        enrolment.read(enrolments_file, "other")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut"])
def test_a_damaged_file_of_enrolments_is_refused(tmp_path, content):
    (tmp_path / "enrolments.npz").write_bytes(content)
    with pytest.raises(enrolment.EnrolmentError, match="no file of enrolments"):
        enrolment.read(tmp_path / "enrolments.npz")


def test_a_classifier_enrols_nobody(artifact, verification_data, tmp_path, capsys):
    path = tmp_path / "enrolments.npz"
    assert enrol.main([str(artifact), str(verification_data), "--out", str(path)]) == 1
    assert "only a model that compares signatures can enrol writers" in capsys.readouterr().err
    assert not path.exists()


def test_offline_verifies_a_file_against_references(verifier_artifact, verification_data, capsys):
    genuine = [str(path) for path in sorted((verification_data / "005").iterdir())]
    references = [word for path in genuine[1:4] for word in ("--reference", path)]
    assert (
        offline.main(
            ["--artifact", str(verifier_artifact), genuine[0], *references, "--format", "jsonl", "--far", "0.05"]
        )
        == 0
    )
    (row,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert row["decision"] in ("accept", "inconclusive", "reject")
    assert len(row["per_reference"]) == 3
    assert offline.main(["--artifact", str(verifier_artifact), genuine[1], *references[:2]]) == 0
    assert "accept" in capsys.readouterr().out, "the reference itself"


def test_offline_takes_the_claimed_writer_from_the_folder_and_writes_csv(
    verifier_artifact, verification_data, enrolments_file, capsys
):
    folders = [str(verification_data / name) for name in ("001", "002_forg")]
    options = ["--enrolled", str(enrolments_file), "--format", "csv"]
    assert offline.main(["--artifact", str(verifier_artifact), *folders, *options]) == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["error"] for row in rows] == [""] * 7 + ["not_enrolled"] * 3, "no writer is called 002_forg"
    assert {row["references"] for row in rows[:7]} == {"7"}
    assert offline.main(["--artifact", str(verifier_artifact), folders[1], "--writer", "002", *options]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--reference or --enrolled"),
        (["--writer", "001"], "--enrolled"),
        (["--reference", "FILE", "--far", "0.3"], "to 0.1 are possible"),
        (["--reference", "FILE", "--threshold", "1.5"], "above 0 and below 1"),
    ],
)
def test_the_errors_of_offline_name_what_a_verifier_needs(
    verifier_artifact, verification_data, capsys, arguments, message
):
    file = str(next((verification_data / "001").iterdir()))
    arguments = [file if word == "FILE" else word for word in arguments]
    assert offline.main(["--artifact", str(verifier_artifact), file, *arguments]) == 1
    assert message in capsys.readouterr().err


def test_a_classifier_takes_no_references(artifact, verification_data, capsys):
    file = str(next((verification_data / "001").iterdir()))
    assert offline.main(["--artifact", str(artifact), file, "--reference", file]) == 1
    assert "judges single images" in capsys.readouterr().err


def test_offline_writes_the_explanation_as_an_image(verifier_artifact, verification_data, tmp_path, capsys):
    questioned, reference = sorted((verification_data / "004").iterdir())[:2]
    folder = tmp_path / "explanations"
    arguments = [questioned, "--reference", reference, "--explanation-dir", folder]
    assert offline.main(["--artifact", str(verifier_artifact), *map(str, arguments)]) == 0
    (path,) = folder.iterdir()
    with Image.open(path) as overlay:
        assert overlay.size == (64 * explain.SCALE, 32 * explain.SCALE)
