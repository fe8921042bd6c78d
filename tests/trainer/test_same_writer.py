"""A verifier from images to answers through the commands people use: train, go on, judge, enrol, explain."""

import collections
import csv
import dataclasses
import io
import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from predictor import offline
from tests.conftest import HANDS_RUN
from trainer import enrol, evaluate, imaging, task
from trainer.artifact import enrolment, explain, manifest
from trainer.artifact.artifact import Look, Model
from trainer.data import records
from trainer.samples import generator
from trainer.settings import config, plugins
from trainer.training import loop, warm_start


def train(capsys, *arguments) -> tuple[int, str]:
    status = task.main([*HANDS_RUN, *map(str, arguments)])
    printed = capsys.readouterr()
    return status, printed.out + printed.err


@pytest.fixture
def model(hands) -> Model:
    return Model(hands)


@pytest.fixture
def people(hands, hands_data, tmp_path):
    """Everybody enrolled."""
    assert enrol.main([str(hands), str(hands_data), "--out", str(tmp_path / "people.npz")]) == 0
    return tmp_path / "people.npz"


def weights_of(model: Model) -> dict[str, np.ndarray]:
    return warm_start._of_artifact(model.folder)


def rows_of(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]


def test_a_run_ends_in_a_calibrated_decision_and_a_report_with_its_documented_numbers(hands, hands_run):
    described = manifest.read(hands)
    assert described.decision["kind"] == "verify"
    assert set(described.decision["thresholds"]) == {"eer", "0.01", "0.001"}
    assert "by_writer" not in described.metrics, "an artefact names nobody"
    content = json.loads((hands_run / "report" / "report.json").read_text())
    five = content["verification"]["references"]["5"]
    assert five["eer_skilled"] <= 40, "chance is 50"
    assert five["eer_random"] <= 15, "chance is 50, and strangers are easier to tell apart than forgers"
    assert content["history"][0]["val_eer"] == content["history"][0]["val_eer_skilled"]
    pictures = {path.name for path in (hands_run / "report").glob("*.png")}
    assert {"roc.png", "det.png", "scores.png", "training.png"} <= pictures


def test_vectors_have_length_1_and_an_image_is_nearest_to_itself(model, hands_data):
    files = sorted(hands_data.rglob("*.*"))[:6]
    vectors = np.stack([model.look(path.read_bytes()).vector for path in files])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert (np.argmax(vectors @ vectors.T, axis=1) == np.arange(6)).all()


@pytest.mark.whole
def test_the_classical_siamese_learns_from_pairs_and_from_the_weights_of_an_artefact(
    capsys, hands, hands_data, tmp_path
):
    arguments = ("--train-dir", hands_data, "--job-dir", tmp_path / "job", "--loss", "contrastive", "--epochs", "1")
    more = ("--init-from", hands, "--frozen-epochs", "1", "--no-augment", "--dtype-policy", "mixed_bfloat16")
    status, printed = train(capsys, *arguments, *more)
    assert status == 0, printed
    assert "starting from" in printed
    first, second = Model(tmp_path / "job" / "model"), Model(hands)
    assert first.manifest.training["settings"]["training"]["loss"] == "contrastive"
    assert first.manifest.vector_size == second.manifest.vector_size
    trunk = [kernel for name, kernel in weights_of(first).items() if name.startswith(("conv", "norm"))]
    frozen = [kernel for name, kernel in weights_of(second).items() if name.startswith(("conv", "norm"))]
    assert len(trunk) > 10
    for learnt, start in zip(trunk, frozen, strict=True):
        np.testing.assert_allclose(learnt, start, atol=1e-6, err_msg="only the head has learnt")


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15 saving with NumPy 2
def test_weights_of_an_artefact_are_taken_whole_and_of_another_network_not_at_all(hands, tensorflow):
    from trainer.imaging import Imaging
    from trainer.pipeline.problem_defaults import resolve_settings
    from trainer.training.network import build

    def network(backbone):
        wanted = config.from_command_line([*HANDS_RUN, "--backbone", backbone], {})
        chosen = resolve_settings(wanted, plugins.load("problems", "same_writer")).model
        return build(chosen, Imaging(32, 64), ("genuine", "forged"))

    same = network(manifest.read(hands).backbone)
    said = warm_start.load(same, str(hands))
    assert f"{len(same.weights)} of {len(same.weights)} weights" in said
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 64, 1), np.uint8)
    expected = same(images, training=False).numpy()
    looks = Model(hands).engine(images).reshape(3, 2, -1) * 2**0.5  # at the image and at its mirror image
    np.testing.assert_allclose(looks[:, 0], expected, atol=1e-5)
    np.testing.assert_allclose(looks[:, 1], same(images[:, :, ::-1], training=False).numpy(), atol=1e-5)
    same.save(hands.parent / "same.keras")
    again = network(manifest.read(hands).backbone)
    warm_start.load(again, str(hands.parent / "same.keras"))
    np.testing.assert_allclose(again(images, training=False).numpy(), expected, atol=1e-6)
    with pytest.raises(warm_start.NoWeights, match="--backbone"):
        warm_start.load(network("resnet18"), str(hands))


@pytest.mark.whole
def test_an_interrupted_run_goes_on_to_the_same_numbers(capsys, hands_run, hands_data, tmp_path):
    (tmp_path / "job").mkdir()
    for name in ("config.toml", "records", "audit.json"):
        source = hands_run / name
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, tmp_path / "job" / name)
    arguments = ("--train-dir", hands_data, "--job-dir", tmp_path / "job")
    from keras.callbacks import Callback

    from trainer.imaging import Imaging
    from trainer.pipeline.problem_defaults import resolve_settings
    from trainer.training.network import build

    class Killed(BaseException):
        pass

    class KilledInTheThirdEpoch(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise Killed

    problem = plugins.load("problems", "same_writer")
    wanted = resolve_settings(config.from_command_line([*HANDS_RUN, *map(str, arguments)], {}), problem)
    job = tmp_path / "job"
    found = records.read(job / "records")
    with pytest.raises(Killed):
        loop.fit(
            problem, lambda: build(wanted.model, Imaging(32, 64), found.labels), found, wanted.training,
            job / "checkpoints", job / "training.csv", callbacks=[KilledInTheThirdEpoch()],
        )  # fmt: skip
    status, printed = train(capsys, *arguments)
    assert status == 0, printed
    assert "continuing after epoch 2" in printed
    one, two = (json.loads((run / "report" / "report.json").read_text()) for run in (hands_run, tmp_path / "job"))
    assert one["verification"] == two["verification"]
    assert one["history"] == two["history"]


def test_genuine_signatures_alone_can_be_learnt_from_until_nothing_gets_better(capsys, hands_data, tmp_path):
    for folder in hands_data.iterdir():
        if not folder.name.endswith("_forg"):
            shutil.copytree(folder, tmp_path / "genuine" / folder.name)
    arguments = ("--train-dir", tmp_path / "genuine", "--job-dir", tmp_path / "job", "--loss", "triplet")
    still = ("--epochs", "9", "--patience", "1", "--learning-rate", "1e-8", "--no-augment")
    status, printed = train(capsys, *arguments, *still)
    assert status == 0, printed
    assert "val_eer has not improved for 1 epochs" in printed
    assert manifest.read(tmp_path / "job" / "model").decision["against"] == "random"


def test_words_are_no_signatures_to_learn_hands_from(capsys, scans, tmp_path):
    status, printed = train(capsys, "--train-dir", scans, "--job-dir", tmp_path / "job")
    assert status == 1
    assert "learns from genuine and forged" in printed


def test_a_loss_of_another_problem_is_answered_with_those_there_are(capsys, hands_data, tmp_path):
    status, printed = train(capsys, "--train-dir", hands_data, "--job-dir", tmp_path, "--loss", "tripet")
    assert status == 1
    assert "did you mean 'triplet'" in printed


def test_any_artefact_is_measured_on_any_labelled_data(hands, hands_data, artifact, scans, tmp_path, capsys):
    assert evaluate.main([str(hands), "--data", str(hands_data), "--out", str(tmp_path / "hands")]) == 0
    content = json.loads((tmp_path / "hands" / "report.json").read_text())
    assert content["verification"]["writers"] == 16
    assert content["audit"]["leak"] is not None
    assert (tmp_path / "hands" / "det.png").stat().st_size > 1000
    assert evaluate.main([str(artifact), "--data", str(scans), "--out", str(tmp_path / "text")]) == 0
    assert "classification" in json.loads((tmp_path / "text" / "report.json").read_text())
    assert evaluate.main([str(artifact), "--data", f"word={scans / 'text'}", "--out", str(tmp_path / "none")]) == 1
    assert "the label 'word'; the model knows signature, text" in capsys.readouterr().err


def test_enrolled_people_are_everybodys_genuine_signatures_and_only_for_this_encoder(people, hands, hands_data, model):
    found = enrolment.read(people, model.encoder)
    assert len(np.unique(found.writers)) == 16
    assert found.embeddings.shape == (16 * 7, model.manifest.vector_size)
    one = next(iter(sorted((hands_data / "003").iterdir())))
    assert np.array_equal(found.of("003")[0], model.look(one.read_bytes()).vector)
    with pytest.raises(enrolment.NotEnrolled, match="16 people, such as 001, 002, 003"):
        found.of("nobody")
    with pytest.raises(enrolment.NotEnrolled, match="another model"):
        enrolment.read(people, "other")


@pytest.mark.parametrize("damage", [b"", b"no archive", b"PK\x03\x04 cut"])
def test_a_damaged_file_of_people_is_refused(tmp_path, damage):
    (tmp_path / "people.npz").write_bytes(damage)
    with pytest.raises(enrolment.NotEnrolled, match="no file of enrolled people"):
        enrolment.read(tmp_path / "people.npz")


def test_offline_verifies_one_file_against_references(hands, hands_data, capsys):
    genuine = [str(path) for path in sorted((hands_data / "005").iterdir())]
    references = [word for path in genuine[1:4] for word in ("--reference", path)]
    assert offline.main([str(hands), genuine[0], *references, "--format", "jsonl", "--far", "0.01"]) == 0
    (row,) = rows_of(capsys)
    assert row["decision"] in ("accept", "inconclusive", "reject")
    assert len(row["per_reference"]) == 3
    assert offline.main([str(hands), genuine[1], *references[:2]]) == 0
    assert "accept" in capsys.readouterr().out, "the reference itself"


def test_offline_takes_the_claimed_person_from_the_folder_and_writes_csv(hands, hands_data, people, capsys):
    folders = [str(hands_data / name) for name in ("001", "002_forg")]
    assert offline.main([str(hands), *folders, "--enrolled", str(people), "--format", "csv"]) == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["error"] for row in rows] == [""] * 7 + ["not_enrolled"] * 3, "nobody is called 002_forg"
    assert {row["references"] for row in rows[:7]} == {"7"}
    command = [str(hands), folders[1], "--enrolled", str(people), "--writer", "002", "--format", "csv"]
    assert offline.main(command) == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "--reference or --enrolled"),
        (["--writer", "001"], "--enrolled"),
        (["--reference", "FILE", "--far", "0.3"], "0.01, 0.001"),
    ],
)
def test_offline_says_what_a_verifier_needs(hands, hands_data, capsys, arguments, says):
    file = str(next((hands_data / "001").iterdir()))
    assert offline.main([str(hands), file, *[file if word == "FILE" else word for word in arguments]]) == 1
    assert says in capsys.readouterr().err


def test_a_classifier_takes_no_references(artifact, hands_data, capsys):
    file = str(next((hands_data / "001").iterdir()))
    assert offline.main([str(artifact), file, "--reference", file]) == 1
    assert "judges single images" in capsys.readouterr().err


def test_an_explanation_finds_the_stroke_that_does_not_belong(model, hands_data):
    def engine(images):
        """Mean ink in 8 x 16 fields, as a unit vector: an encoder that cannot be better or worse trained."""
        fields = images.reshape(-1, 8, 4, 16, 4).mean(axis=(2, 4)).reshape(len(images), -1).astype(np.float32)
        return fields / np.linalg.norm(fields, axis=1, keepdims=True)

    def seen(image):
        return Look(dataclasses.replace(look.canonical, image=image), engine(image[None])[0], None)

    look = model.look(min((hands_data / "001").iterdir()).read_bytes())
    added = look.canonical.image.copy()
    added[2:12, 48:62] = 255
    reference, changed = seen(look.canonical.image), seen(added)
    for nearest in (reference, reference.vector):
        found = explain.against_nearest(engine, changed, [engine(255 - added[None])[0], nearest])
        assert found.reference == 1
        assert found.heat.shape == (32, 64)
        row, column = np.unravel_index(np.argmax(found.heat), found.heat.shape)
        assert 2 <= row < 12
        assert 48 <= column < 62


def test_offline_writes_the_explanation_as_a_picture(hands, hands_data, tmp_path, capsys):
    files = [str(path) for path in sorted((hands_data / "004").iterdir())[:2]]
    command = [str(hands), files[0], "--reference", files[1], "--explain", str(tmp_path / "pictures")]
    assert offline.main(command) == 0
    (picture,) = (tmp_path / "pictures").iterdir()
    with Image.open(picture) as seen:
        assert seen.size == (64 * explain.SCALE, 32 * explain.SCALE)


@pytest.fixture(scope="module")
def checked(hands_run, artifact, hands_data, tmp_path_factory):
    """The verifier with a signature check, exported from the checkpoints that are there."""
    job = tmp_path_factory.mktemp("checked") / "job"
    job.mkdir()
    for name in ("records", "audit.json"):
        source = hands_run / name
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, job / name)
    command = [*HANDS_RUN, "--epochs", "1", "--train-dir", str(hands_data), "--job-dir", str(job)]
    assert task.main([*command, "--signature-check", str(artifact)]) == 0
    return job / "model"


@pytest.mark.xdist_group("signature_check")  # which is trained once
def test_what_the_signature_check_calls_text_is_said_so_instead_of_scored(checked, scans, hands_data, artifact):
    model, check = Model(checked), Model(artifact)
    assert model.prove() == 2 * len(generator.KINDS) * 3
    words = [path.read_bytes() for path in sorted((scans / "text").iterdir())]
    word = next(data for data in words if check.answer(data)["label"] == "text")
    names = [path.read_bytes() for path in sorted(hands_data.rglob("0*.*"))]
    name = next(data for data in names if check.answer(data)["label"] == "signature")
    refused = model.decide(model.look(word), [model.look(name)])
    assert refused["decision"] == "not_a_signature"
    assert refused["because"][0]["image"] == "questioned"
    assert refused["because"][0]["code"] == "text"
    assert "score" not in refused
    by_reference = model.decide(model.look(name), [model.look(name), model.look(word)])
    assert by_reference["because"][0]["image"] == "reference 1"
    assert model.decide(model.look(name), [model.look(name)])["decision"] == "accept"


@pytest.mark.xdist_group("signature_check")  # which is trained once
def test_with_a_signature_check_an_image_is_decoded_and_inked_once(checked, hands_data):
    model, data = Model(checked), min((hands_data / "001").iterdir()).read_bytes()
    calls = collections.Counter()
    sys.setprofile(lambda frame, event, _: calls.update([frame.f_code] if event == "call" else []))
    try:
        model.look(data)
    finally:
        sys.setprofile(None)
    assert calls[imaging.decode.__code__] == calls[imaging.find_ink.__code__] == 1


@pytest.mark.xdist_group("signature_check")  # which is trained once
def test_a_damaged_signature_check_is_noticed(checked, tmp_path):
    folder = shutil.copytree(checked, tmp_path / "model")
    path = folder / "signature_check" / "manifest.json"
    path.write_text(path.read_text().replace('"text"', '"test"'))
    with pytest.raises(manifest.BadArtifact, match=r"signature_check/manifest\.json"):
        Model(folder)


def test_a_verifier_is_no_signature_check(capsys, hands, hands_data, tmp_path):
    arguments = ("--train-dir", hands_data, "--job-dir", tmp_path / "job", "--signature-check", hands, "--epochs", "1")
    status, printed = train(capsys, *arguments)
    assert status == 1
    assert "label 'signature'" in printed
