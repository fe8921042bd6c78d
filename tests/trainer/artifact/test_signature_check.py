"""An artefact with a signature check rejects what is no signature, before it is compared."""

import collections
import shutil
import sys

import pytest

from tests.conftest import VERIFIER_FLAGS
from trainer import imaging, task
from trainer.artifact import manifest
from trainer.artifact.artifact import Artifact

pytestmark = pytest.mark.xdist_group("signature_check")  # one process, in which the artefact is exported once


@pytest.fixture(scope="module")
def checked_artifact(verifier_run_dir, artifact, verification_data, tmp_path_factory):
    """A verifier with a signature check, trained for an epoch on the records of another run."""
    job_dir = tmp_path_factory.mktemp("checked") / "job"
    job_dir.mkdir()
    shutil.copytree(verifier_run_dir / "records", job_dir / "records")
    shutil.copy2(verifier_run_dir / "audit.json", job_dir)
    flags = ["--epochs", "1", "--train-dir", str(verification_data), "--job-dir", str(job_dir)]
    assert task.main([*VERIFIER_FLAGS, *flags, "--signature-check", str(artifact)]) == 0
    return job_dir / "model"


def test_an_image_that_the_signature_check_rejects_has_no_score(checked_artifact, scans, verification_data, artifact):
    verifier, check = Artifact(checked_artifact), Artifact(artifact)
    assert verifier.replay_golden() == 2 * 9, "those of both artefacts"
    words = [path.read_bytes() for path in sorted((scans / "text").iterdir())]
    word = verifier.encode(next(data for data in words if check.answer(data)["label"] == "text"))
    files = [path.read_bytes() for path in sorted(verification_data.rglob("0*.*"))]
    signature = verifier.encode(next(data for data in files if check.answer(data)["label"] == "signature"))
    answer = verifier.decide(word, [signature])
    assert answer["decision"] == "not_a_signature"
    assert answer["reasons"][0]["image"] == "questioned"
    assert answer["reasons"][0]["code"] == "text"
    assert "score" not in answer
    assert verifier.decide(signature, [signature, word])["reasons"][0]["image"] == "reference 1"
    assert verifier.decide(signature, [signature])["decision"] == "accept"


def test_with_a_signature_check_an_image_is_decoded_once_and_its_ink_found_once(checked_artifact, verification_data):
    verifier, data = Artifact(checked_artifact), min((verification_data / "001").iterdir()).read_bytes()
    calls = collections.Counter()
    sys.setprofile(lambda frame, event, _: calls.update([frame.f_code] if event == "call" else []))
    try:
        verifier.encode(data)
    finally:
        sys.setprofile(None)
    assert calls[imaging.decode.__code__] == calls[imaging.find_ink.__code__] == 1


def test_a_damaged_signature_check_is_an_error(checked_artifact, tmp_path):
    folder = shutil.copytree(checked_artifact, tmp_path / "model")
    path = folder / "signature_check" / "manifest.json"
    path.write_text(path.read_text().replace('"text"', '"test"'))
    with pytest.raises(manifest.BadArtifact, match=r"signature_check/manifest\.json"):
        Artifact(folder)


def test_a_verifier_cannot_be_a_signature_check(capsys, verifier_artifact, verification_data, tmp_path):
    data = ["--train-dir", str(verification_data), "--job-dir", str(tmp_path / "job")]
    options = ["--signature-check", str(verifier_artifact), "--epochs", "1"]
    assert task.main([*VERIFIER_FLAGS, *data, *options]) == 1
    assert "label 'signature'" in capsys.readouterr().err
