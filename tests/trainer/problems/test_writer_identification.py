"""Who of N known persons: what a label is, which images are rejected, and from which weights a training starts."""

import json
import shutil

import numpy as np
import pytest

from predictor.recognizer import Recognizer
from tests.conftest import CLASSIFIER_FLAGS
from trainer import corpora, prepare, task
from trainer.artifact import manifest
from trainer.artifact.manifest import UNKNOWN
from trainer.console.errors import UserError
from trainer.data import records
from trainer.data.dataset import relabel_listings
from trainer.generators import signatures as generator
from trainer.pipeline.problem_defaults import resolve_settings
from trainer.samples.amount import DatasetSpec
from trainer.settings import plugins
from trainer.settings.config import parse_config
from trainer.training import warm_start

FLAGS = ["--problem", "writer_identification", *CLASSIFIER_FLAGS]


@pytest.fixture
def run(tensorflow, tmp_path, capsys):
    """``run(flags...)`` prepares the records of a job: (exit status, output)."""

    def prepare_job(*flags):
        status = prepare.main([*FLAGS, "--job-dir", str(tmp_path / "job"), *map(str, flags)])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return prepare_job


@pytest.fixture(scope="module")
def people(make_once):
    """Four writers with six genuine signatures and two forgeries each, in the folders 001/, 001_forg/ and so on."""
    spec = DatasetSpec("paired_folders", writers=4, genuine=6, forged=2)
    return make_once("four-people", lambda folder: list(generator.write_dataset(folder, spec, seed=3)))


def read_records(tmp_path) -> records.Records:
    return records.read(tmp_path / "job" / "records")


def test_writers_are_labels_in_every_split_and_forgeries_are_left_out(run, people, tmp_path):
    status, printed = run("--train-dir", people)
    assert status == 0, printed
    assert "8 forged images are left out" in printed
    written = read_records(tmp_path)
    assert written.labels == ("001", "002", "003", "004")
    for split in ("train", "validation"):
        assert set(written.counts[split]) == set(written.labels)
        assert min(written.counts[split].values()) > 0
    assert {name.split("/")[0] for _, name in written.test_images} == set(written.labels)
    codes = {finding["code"] for finding in json.loads((tmp_path / "job" / "audit.json").read_text())["findings"]}
    assert not codes & {"few_writers", "writers_unknown", "writers_across_parts"}


def test_data_of_forgeries_alone_is_an_error_that_says_so(run, people, tmp_path):
    for path in people.glob("*_forg"):
        shutil.copytree(path, tmp_path / "forged" / path.name)
    message = "all 8 images are labelled forged, which this problem does not learn from"
    forged = f"forged={tmp_path / 'forged'}"
    for flags in (("--train-dir", forged), ("--train-dir", people, "--test-dir", forged)):
        status, printed = run(*flags)
        assert status == 1
        assert message in printed
    listings = corpora.read_corpora([("forged", tmp_path / "forged", "forged")])
    with pytest.raises(UserError, match="give genuine signatures or folders of persons"):
        relabel_listings(listings, plugins.load("problems", "writer_identification"))


def write_folders(folder, *names: str, first: int = 0) -> None:
    """Write a folder of four genuine signatures for each name, numbered from ``first``."""
    for writer, name in enumerate(names, start=1):
        for number in range(first, first + 4):
            data, suffix = generator.generate_image(9, writer, "genuine", number)
            path = folder / name / f"{number}x{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def test_folders_by_any_name_are_persons(run, tmp_path):
    write_folders(tmp_path / "data", "anna", "ben", "cem")
    status, printed = run("--train-dir", tmp_path / "data")
    assert status == 0, printed
    assert read_records(tmp_path).labels == ("anna", "ben", "cem")


def test_a_person_of_the_test_data_is_the_person_of_that_name_in_the_training_data(run, tmp_path):
    write_folders(tmp_path / "data", "anna", "ben")
    write_folders(tmp_path / "new", "anna", "ben", first=4)
    status, printed = run("--train-dir", tmp_path / "data", "--test-dir", tmp_path / "new")
    assert status == 0, printed
    assert len(read_records(tmp_path).test_images) == 8
    assert "unseen writers" not in printed
    assert "so few" not in printed


def test_one_name_in_two_sources_is_an_error(run, tmp_path):
    write_folders(tmp_path / "first", "anna", "ben")
    write_folders(tmp_path / "second", "cem", "ben")
    status, printed = run("--train-dir", tmp_path / "first", "--train-dir", tmp_path / "second")
    assert status == 1
    assert "'ben' is in 'first' and in 'second'" in printed


def test_a_person_called_unknown_is_an_error_before_any_training(run, tmp_path):
    write_folders(tmp_path / "data", "anna", "unknown")
    status, printed = run("--train-dir", tmp_path / "data")
    assert status == 1
    assert "a person called 'unknown'" in printed


def test_genuine_signatures_without_a_writer_are_an_error(run, tmp_path):
    write_folders(tmp_path / "data", "first", "second")
    status, printed = run("--train-dir", f"genuine={tmp_path / 'data'}", "--layout", "flat")
    assert status == 1
    assert "nothing says who wrote" in printed


@pytest.mark.parametrize("count", [1, 20, 34, 200])
def test_at_most_three_percent_of_the_validation_images_are_rejected(tensorflow, count):
    fit_decision = plugins.load("problems", "writer_identification").fit_decision
    vectors = np.random.default_rng(count).dirichlet(np.full(4, 0.3), count).astype(np.float32)
    fitted = fit_decision(("a", "b", "c", "d"), vectors, {}, None)
    rejected = sum(fitted.answer(vector)["label"] == UNKNOWN for vector in vectors)
    assert rejected == int(0.03 * count)


@pytest.mark.slow
def test_a_trained_artefact_answers_persons_or_unknown_and_the_report_counts_these(run, people, tmp_path):
    flags = ["--train-dir", str(people), "--job-dir", str(tmp_path / "job")]
    assert task.main([*FLAGS, "--epochs", "1", *flags]) == 0
    described = manifest.read(tmp_path / "job" / "model")
    assert 0 < described.decision["rejection_limit"] < 1
    assert {"top_1", "unknown", "accuracy"} <= set(described.metrics)
    recognizer = Recognizer.load(tmp_path / "job" / "model")
    answers = [recognizer.predict(path) for path in sorted(people.rglob("*.*"))[:12]]
    assert {answer.label for answer in answers} <= {*described.labels, UNKNOWN}
    for answer in answers:
        assert set(answer.scores) == set(described.labels)
        assert answer.score == max(answer.scores.values())
    text = (tmp_path / "job" / "report" / "report.md").read_text()
    assert "top-1 accuracy" in text
    assert "| unknown |" in text


@pytest.fixture
def ready_verifier(verifier_artifact, tmp_path, monkeypatch):
    """``verifier_artifact`` as ``ready:same_writer``."""
    (tmp_path / "ready").mkdir()
    (tmp_path / "ready" / "same_writer").symlink_to(verifier_artifact)
    monkeypatch.setenv("COUNTERSIGN_READY", str(tmp_path / "ready"))
    return verifier_artifact


CLOSED_SETS = ("writer_identification", "genuine_vs_forged")


@pytest.mark.slow
@pytest.mark.parametrize("name", CLOSED_SETS)
def test_a_closed_set_starts_from_backbone_and_embedding_of_the_ready_verifier(ready_verifier, name):
    from tests.trainer.training.test_warm_start import build_problem

    config, model = build_problem(name, ("a", "b", "c"))
    assert config.training.init_from == "ready:same_writer"
    message = warm_start.load_weights(model, config.training.init_from, ("a", "b", "c"))
    assert message.endswith("initialised at random, because it has no layer that fits: probabilities")
    trained = warm_start._read_artifact(ready_verifier).weights
    for weight in model.weights:
        if not weight.path.startswith("probabilities"):
            np.testing.assert_array_equal(weight.numpy(), trained[weight.path], err_msg=weight.path)


@pytest.mark.slow
def test_an_encoder_that_keeps_places_starts_a_closed_set_on_any_canvas(ready_verifier):
    from tests.trainer.training.test_warm_start import build_problem

    config, model = build_problem("writer_identification", ("a", "b", "c"), "--image-height", "64")
    message = warm_start.load_weights(model, config.training.init_from, ("a", "b", "c"))
    assert message.endswith("initialised at random, because it has no layer that fits: probabilities")


def resolve_start(*flags) -> str | None:
    problem = plugins.load("problems", "writer_identification")
    return resolve_settings(
        parse_config(["--problem", "writer_identification", *flags], {}), problem
    ).training.init_from


@pytest.mark.parametrize("flags", [("--init-from", "none"), ("--init-from", ""), ("--backbone", "compact")])
def test_none_and_another_backbone_start_from_random_weights(tensorflow, flags):
    assert resolve_start(*flags) == ""


def test_a_missing_default_start_names_what_is_there(tensorflow, no_ready_artifact):
    with pytest.raises(manifest.BadArtifact, match="ready:same_writer") as raised:
        resolve_start()
    assert str(raised.value).endswith(
        "; writer_identification starts from it unless --init-from names another artefact, or none"
    )


def test_a_missing_start_that_a_flag_names_is_no_default(tensorflow, no_ready_artifact):
    with pytest.raises(manifest.BadArtifact) as raised:
        resolve_start("--init-from", "ready:same_writer")
    assert "unless" not in str(raised.value)
