"""``trainer.enrol`` stores the embeddings of writers, and ``predictor.offline`` verifies signatures with them."""

import base64
import contextlib
import csv
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from predictor import offline
from trainer import enrol
from trainer.artifact import explain
from trainer.artifact.artifact import Artifact
from trainer.enrolment.gallery import Gallery
from trainer.enrolment.store import EnrolmentStore


@pytest.fixture
def people(verifier_artifact, verification_data, tmp_path):
    """The file of all writers."""
    path = tmp_path / "people.sqlite"
    assert enrol.main([str(verifier_artifact), str(verification_data), "--out", str(path)]) == 0
    return path


def test_the_genuine_signatures_of_all_writers_are_put_on_file(people, verifier_artifact, verification_data):
    verifier = Artifact(verifier_artifact)
    with contextlib.closing(EnrolmentStore(people)) as store:
        assert store.encoder == verifier.encoder
        assert {summary.references for summary in store.read_summaries()} == {7}
        assert len(store.read_summaries()) == 16
        first = min((verification_data / "003").iterdir())
        reference = store.read_references("003")[0]
        assert reference.label.endswith(first.name)
        np.testing.assert_allclose(reference.vector, verifier.encode(first.read_bytes()).vector, atol=1e-3)
        assert Gallery(store, verifier.decision).calibration.mates, "measured when the file was made"
        assert store.read_calibration() is not None


def test_folders_with_the_names_of_people_are_enrolled_by_a_named_layout(
    verifier_artifact, verification_data, tmp_path, capsys
):
    data, out = tmp_path / "data", tmp_path / "people.sqlite"
    for name, writer in (("Ann Example", "001"), ("Bob Example", "002")):
        shutil.copytree(verification_data / writer, data / name)
    assert enrol.main([str(verifier_artifact), str(data), "--out", str(out)]) == 1
    assert "in the layout class_folders; where each writer has a folder, add --layout writer_folders" in (
        capsys.readouterr().err
    )
    assert not out.exists()
    assert enrol.main([str(verifier_artifact), str(data), "--layout", "writer_folders", "--out", str(out)]) == 0
    with contextlib.closing(EnrolmentStore(out)) as store:
        assert [summary.name for summary in store.read_summaries()] == ["Ann Example", "Bob Example"]


def test_a_reference_that_is_unlike_the_others_is_named(verifier_artifact, verification_data, tmp_path, capsys):
    data = tmp_path / "data"
    for name in ("003", "004", "005", "004_forg"):
        shutil.copytree(verification_data / name, data / name)
    other = min((verification_data / "006").iterdir())
    shutil.copy(other, data / "004" / f"slipped{other.suffix}")
    assert enrol.main([str(verifier_artifact), str(data), "--out", str(tmp_path / "people.sqlite")]) == 0
    warnings = [line for line in capsys.readouterr().out.splitlines() if "warning" in line]
    assert any("slipped" in line and "writer '004'" in line for line in warnings)


def test_a_key_encrypts_the_file(verifier_artifact, verification_data, tmp_path, capsys):
    (tmp_path / "key").write_text(base64.b64encode(bytes(32)).decode())
    path, key = tmp_path / "people.sqlite", ["--people-key", str(tmp_path / "key")]
    assert enrol.main([str(verifier_artifact), str(verification_data), "--out", str(path), *key]) == 0
    file = str(min((verification_data / "003").iterdir()))
    options = ["--artifact", str(verifier_artifact), file, "--people", str(path)]
    assert offline.main(options) == 1
    assert "is encrypted: give its key" in capsys.readouterr().err
    assert offline.main([*options, *key]) == 0


def test_a_file_of_an_earlier_release_is_enrolled_again(verifier_artifact, verification_data, tmp_path):
    verifier = Artifact(verifier_artifact)
    vectors = [verifier.encode(path.read_bytes()).vector for path in sorted((verification_data / "003").iterdir())]
    names = np.array(["003"] * len(vectors))
    values = {"encoder": np.array(verifier.encoder), "writers": names, "files": names, "embeddings": np.stack(vectors)}
    np.savez(tmp_path / "enrolled.npz", **values)
    out = tmp_path / "people.sqlite"
    assert enrol.main([str(verifier_artifact), str(tmp_path / "enrolled.npz"), "--out", str(out)]) == 0
    with contextlib.closing(EnrolmentStore(out)) as store:
        assert len(store.read_references("003")) == 7


def test_a_classifier_enrols_nobody(artifact, verification_data, tmp_path, capsys):
    path = tmp_path / "people.sqlite"
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
    verifier_artifact, verification_data, people, capsys
):
    folders = [str(verification_data / name) for name in ("001", "002_forg")]
    options = ["--people", str(people), "--format", "csv"]
    assert offline.main(["--artifact", str(verifier_artifact), *folders, *options]) == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["error"] for row in rows] == [""] * 7 + ["not_enrolled"] * 3, "no writer is called 002_forg"
    assert {row["references"] for row in rows[:7]} == {"7"}
    assert offline.main(["--artifact", str(verifier_artifact), folders[1], "--writer", "002", *options]) == 0


def test_offline_searches_the_writer_on_file(verifier_artifact, verification_data, people, capsys):
    capsys.readouterr()
    folder = str(verification_data / "001")
    options = ["--artifact", str(verifier_artifact), folder, "--people", str(people), "--identify", "--fpir", "0.2"]
    assert offline.main([*options, "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["writer"] for row in rows if row["decision"] == "identified"} == {"001"}, "their own references"
    assert offline.main(options) == 0
    assert "identified" in capsys.readouterr().out
    assert offline.main([*options, "--format", "jsonl"]) == 0
    row = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert row["candidates"][0]["writer"] == "001"
    assert row["fpir"] == 0.2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--reference or --people"),
        (["--writer", "001"], "about writers of --people"),
        (["--identify"], "about writers of --people"),
        (["--fpir", "0.1", "--reference", "FILE"], "for --identify"),
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
