"""The Python API answers as the server does, whatever form an image has, and refuses in words what it cannot answer."""

import base64
import concurrent.futures
import contextlib
import dataclasses
import io
import json
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

import predictor
from predictor import (
    Classification,
    Embedding,
    ImageError,
    NotASignature,
    Recognizer,
    RecognizerError,
    UserError,
    offline,
)
from predictor.image_input import PIL_MODES, UnreadableFile
from predictor.people import PeopleFile
from predictor.recognizer import MAX_REFERENCES
from tests.conftest import ROOT
from trainer.artifact import golden_file
from trainer.artifact.decision import DecisionParameters
from trainer.artifact.manifest import BadArtifact
from trainer.enrolment import writers
from trainer.enrolment.errors import NotEnrolled
from trainer.enrolment.store import EnrolmentStore
from trainer.imaging import ImageTooLarge, Limits, UnreadableImage

PHOTOGRAPH = np.random.default_rng(1).integers(0, 255, (300, 300), np.uint8)  # dark spots from edge to edge


@pytest.fixture(scope="module")
def classifier(artifact):
    """The opened classifier."""
    return Recognizer.load(artifact, threads=4)


@pytest.fixture(scope="module")
def verifier(verifier_artifact):
    """The opened verifier."""
    return Recognizer.load(str(verifier_artifact))


@pytest.fixture(scope="module")
def files(scans):
    """Files of both labels, PNG and JPEG."""
    return [path for label in ("signature", "text") for path in sorted((scans / label).iterdir())[:8]]


@pytest.fixture(scope="module")
def signatures(verification_data):
    """Seven genuine signatures of one writer."""
    return sorted((verification_data / "001").iterdir())


@pytest.fixture
def page(signature):
    """The pixels of a signature: a PIL image of mode RGB."""
    return PIL.Image.open(io.BytesIO(signature)).convert("RGB")


def to_png(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def blank():
    return PIL.Image.new("L", (200, 100), 255)


def test_a_file_has_the_answer_of_the_offline_command(classifier, artifact, files, capsys):
    assert offline.main(["--artifact", str(artifact), *map(str, files), "--format", "jsonl"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [{"file": str(path), **classifier.predict(path).to_dict()} for path in files] == rows


def test_a_path_its_text_and_its_bytes_have_one_answer(classifier, files):
    for path in files:
        answer = classifier.predict(path)
        assert answer.to_dict() == classifier.artifact.answer(path.read_bytes())
        assert answer == classifier.predict(str(path)) == classifier.predict(path.read_bytes())


@pytest.mark.parametrize("mode", [mode for mode in PIL_MODES if mode != "I;16"])
def test_a_pil_image_has_the_answer_of_its_png_file(classifier, page, mode):
    image = page.convert(mode)
    assert classifier.predict(image) == classifier.predict(to_png(image))


def test_an_array_has_the_answer_of_its_png_file(classifier, page):
    grey = np.asarray(page.convert("L"))
    assert classifier.predict(np.asarray(page)) == classifier.predict(to_png(page))
    assert classifier.predict(grey) == classifier.predict(to_png(page.convert("L")))
    assert classifier.predict(np.asfortranarray(grey)) == classifier.predict(grey), "memory order does not matter"


def test_16_bit_grey_and_transparency_are_read_as_from_a_file(classifier, page):
    deep = PIL.Image.fromarray(np.asarray(page.convert("L")).astype(np.uint16) * 257)
    assert deep.mode == "I;16"
    assert classifier.predict(deep) == classifier.predict(to_png(deep))
    image = page.convert("RGBA")
    image.putalpha(page.convert("L").point(lambda level: 255 - level))
    assert classifier.predict(image) == classifier.predict(to_png(image))


def test_a_pil_image_is_turned_upright_as_its_file_is(classifier, page):
    file, exif = io.BytesIO(), PIL.Image.Exif()
    exif[0x0112] = 6
    page.save(file, "PNG", exif=exif)
    turned = classifier.predict(file.getvalue())
    assert classifier.predict(PIL.Image.open(file)) == turned
    assert turned != classifier.predict(page), "orientation decides this answer"


def test_golden_images_have_the_recorded_answers(classifier, verifier):
    for recognizer in (classifier, verifier):
        artifact = recognizer.artifact
        for golden in golden_file.read(artifact.folder):
            path, recorded = artifact.folder / "golden" / golden.file, golden.vectors[artifact.manifest.variant]
            tolerance = golden_file.compute_tolerance(recorded, artifact.manifest.variant)
            if recognizer is classifier:
                vector = list(recognizer.predict(path).scores.values())
            else:
                vector = recognizer.embed(path).vector
            assert np.abs(np.subtract(vector, recorded)).max() <= tolerance, golden.file


def test_a_verification_has_the_answer_of_the_artefact(verifier, signatures, verification_data):
    artifact = verifier.artifact
    references = [artifact.encode(path.read_bytes()) for path in signatures[:3]]
    for path in (signatures[5], sorted((verification_data / "001_forg").iterdir())[0]):
        encoded = artifact.encode(path.read_bytes())
        answer = verifier.verify(path, signatures[:3])
        assert answer.to_dict() == artifact.decide(encoded, references)
        strict = artifact.decide(encoded, references, DecisionParameters(far=0.05))
        assert verifier.verify(path, signatures[:3], far=0.05).to_dict() == strict
        json.dumps(answer.to_dict())


def test_a_reference_may_have_any_form_and_be_stored(verifier, signatures):
    questioned, *references = signatures[:5]
    answer = verifier.verify(questioned, references)
    embeddings = [verifier.embed(path) for path in references]
    assert [row.dtype for row in (embeddings[0].vector,)] == [np.float32]
    forms = [
        [path.read_bytes() for path in references],
        embeddings,
        [embedding.vector for embedding in embeddings],
        np.stack([embedding.vector for embedding in embeddings]),
        np.stack([embedding.vector for embedding in embeddings]).astype(np.float64),
        [references[0], str(references[1]), embeddings[2], embeddings[3].vector],
        tuple(embeddings),
    ]
    for form in forms:
        other = verifier.verify(questioned, form)
        assert other.score == pytest.approx(answer.score, abs=1e-6)
        assert (other.decision, len(other.per_reference)) == (answer.decision, 4)
    pixels = PIL.Image.open(references[0]).convert("L")
    of_image, of_array = (verifier.verify(questioned, [form]) for form in (pixels, np.asarray(pixels)))
    assert of_image == of_array == verifier.verify(questioned, [to_png(pixels)])


def test_enrolled_writers_are_references(verifier, signatures, tmp_path):
    path = tmp_path / "people.sqlite"
    references = writers.make_references((file.name, verifier.embed(file).vector) for file in signatures[:2])
    with EnrolmentStore.replace(path, verifier.encoder, verifier.artifact.manifest.vector_size) as store:
        writers.put_writer(store, verifier.artifact.decision, "anna", references)
    with_people = Recognizer(verifier.artifact, people=PeopleFile(str(path)))
    answer = with_people.verify(signatures[4], writer="anna")
    assert answer.score == pytest.approx(verifier.verify(signatures[4], signatures[:2]).score, abs=1e-3)
    identification = with_people.identify(signatures[0], fpir=0.5, candidates=1)
    assert (identification.decision, identification.writer, identification.writers) == ("identified", "anna", 1)
    assert identification.to_dict()["candidates"] == [{"writer": "anna", "score": identification.score}]
    with pytest.raises(NotEnrolled, match="'bert'"):
        with_people.verify(signatures[4], writer="bert")
    with pytest.raises(RecognizerError, match="contradict"):
        with_people.verify(signatures[4], signatures[:1], writer="anna")
    with pytest.raises(RecognizerError, match="no writers are on file"):
        verifier.identify(signatures[4])


def test_what_is_no_signature_is_answered_with_its_reason(verifier, signatures):
    answer = verifier.verify(signatures[0], [signatures[1], PHOTOGRAPH])
    assert answer.decision == "not_a_signature"
    assert [reason.image for reason in answer.reasons] == ["reference 1"]
    assert answer.score is answer.threshold is answer.inconclusive is None
    assert set(answer.to_dict()) == {"decision", "reasons", "warnings"}
    with pytest.raises(NotASignature, match="not a signature: too_much_ink") as raised:
        verifier.embed(PHOTOGRAPH)
    assert raised.value.code == "not_a_signature"


def test_answers_are_frozen_and_warnings_have_names(classifier, page):
    answer = classifier.predict(page.resize((36, 18)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        answer.label = "text"
    assert "low_resolution" in [warning.code for warning in answer.warnings]
    assert answer.to_dict()["warnings"][0].keys() == {"code", "value", "limit"}


def test_many_images_are_answered_in_order_and_one_that_is_broken_stops_none(classifier, files):
    images = [*files, b"broken", np.asarray(blank()), files[0]]
    answers = list(classifier.predict_many(iter(images)))
    assert answers[: len(files)] == [classifier.predict(path) for path in files]
    assert [answer.code for answer in answers[len(files) : -1]] == ["unreadable_image", "blank"]
    assert answers[-1] == answers[0]
    assert list(classifier.predict_many([])) == []
    with pytest.raises(RecognizerError, match="of type int"):
        list(classifier.predict_many([files[0], 3]))


def test_images_are_taken_as_answers_are(classifier, files):
    taken = []

    def endless():
        while True:
            taken.append(files[0])
            yield files[0]

    answers = classifier.predict_many(endless())
    assert isinstance(next(answers), Classification)
    assert len(taken) <= 2 * classifier.threads + 1
    answers.close()


def test_threads_share_a_recognizer(classifier, verifier, files, signatures):
    expected = [classifier.predict(path) for path in files]
    verification = verifier.verify(signatures[0], signatures[1:3])

    def ask(number):
        index = number % len(files)
        assert classifier.predict(files[index]) == expected[index]
        assert verifier.verify(signatures[0], signatures[1:3]) == verification

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(ask, range(48)))) == 48


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((20, 30), np.float32), r"float32 \[20, 30\].*uint8 \[height, width\].*\* 255"),
        (np.zeros((20, 30), np.uint16), r"uint16 \[20, 30\]"),
        (np.zeros((20, 30), bool), r"bool \[20, 30\]"),
        (np.zeros((20, 30, 4), np.uint8), r"uint8 \[20, 30, 4\].*RGBA"),
        (np.zeros((20, 30, 1), np.uint8), r"uint8 \[20, 30, 1\]"),
        (np.zeros((2, 20, 30, 3), np.uint8), r"uint8 \[2, 20, 30, 3\]"),
        (np.zeros(30, np.uint8), r"uint8 \[30\]"),
        (np.zeros((0, 30), np.uint8), r"uint8 \[0, 30\].*empty"),
        (np.array([["a"]]), r"<U1 \[1, 1\]"),
    ],
)
def test_an_array_that_is_no_image_is_described(classifier, array, message):
    with pytest.raises(RecognizerError, match=message):
        classifier.predict(array)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (None, "of type NoneType; it has to be a path"),
        ([1, 2], "of type list"),
        (PIL.Image.new("CMYK", (9, 9)), "mode 'CMYK'.*convert"),
        (PIL.Image.new("F", (9, 9)), "mode 'F'"),
        (PIL.Image.new("L", (0, 9)), "0 x 9 pixels"),
    ],
)
def test_another_type_or_mode_is_an_error(classifier, image, message):
    with pytest.raises(RecognizerError, match=message):
        classifier.predict(image)


def test_an_image_file_that_is_not_there_or_not_one_is_an_image_error(classifier, tmp_path, signature):
    for path in (tmp_path / "none.png", tmp_path, "a\0b"):
        with pytest.raises(UnreadableFile, match="cannot be read"):
            classifier.predict(path)
    with pytest.raises(UnreadableImage):
        classifier.predict(b"no image")
    (tmp_path / "cut.png").write_bytes(to_png(PIL.Image.open(io.BytesIO(signature)))[:-200])
    with pytest.raises(UnreadableImage, match="damaged"), PIL.Image.open(tmp_path / "cut.png") as image:
        classifier.predict(image)
    with pytest.raises(ImageError, match="no ink found"):
        classifier.predict(blank())


def test_an_encoded_image_is_not_quoted(classifier, signature):
    encoded = base64.b64encode(signature).decode()
    with pytest.raises(RecognizerError, match="decode base64") as raised:
        classifier.predict(encoded)
    assert encoded[:20] not in str(raised.value)


def test_too_many_pixels_are_refused_before_they_are_decoded(classifier, tmp_path):
    PIL.Image.new("1", (9000, 9000)).save(tmp_path / "large.png")
    with PIL.Image.open(tmp_path / "large.png") as image:
        with pytest.raises(ImageTooLarge, match=r"81,000,000 pixels"):
            classifier.predict(image)
        assert image.tile, "not decoded"


def test_an_array_may_have_more_bytes_than_a_file(classifier, page):
    sheet = PIL.Image.new("RGB", (2480, 3508), "white")
    sheet.paste(page, (900, 2600))
    pixels = np.asarray(sheet)
    assert pixels.nbytes > Limits().max_bytes
    assert classifier.predict(pixels) == classifier.predict(to_png(sheet))


def test_each_kind_of_artefact_names_the_methods_that_it_answers(classifier, verifier, signatures):
    with pytest.raises(RecognizerError, match="signature_vs_text, does not answer verify: use predict"):
        classifier.verify(signatures[0], signatures[1:])
    with pytest.raises(RecognizerError, match="does not answer embed: use predict"):
        classifier.embed(signatures[0])
    for method in (verifier.predict, verifier.predict_many):
        with pytest.raises(RecognizerError, match="use verify and embed"):
            method(signatures[0])


def test_references_that_cannot_be_compared_are_described(verifier, signatures):
    vector = verifier.embed(signatures[1]).vector
    of_other_encoder = Embedding(vector, "another", ())
    cases = [
        ([], "there are 0 references; verify takes 1 to 255"),
        ([vector] * (MAX_REFERENCES + 1), "256 references"),
        (np.zeros((0, 8), np.float32), "there are 0 references"),
        (signatures[1], "references is one PosixPath|WindowsPath"),
        (str(signatures[1]), "references is one str; it has to be a list"),
        (PIL.Image.new("L", (9, 9)), "references is one Image"),
        (verifier.embed(signatures[1]), "references is one Embedding"),
        (np.zeros((20, 30), np.uint8), r"references is an array uint8 \[20, 30\]; .* float32 \[n, D\]"),
        (vector, r"references is an array float32 \[\d+\]"),
        ([vector[:-1]], f"{len(vector) - 1} numbers.*{len(vector)} numbers of length 1"),
        ([2 * vector], "numbers of length 2"),
        ([vector * np.nan], "numbers of length nan"),
        ([vector, of_other_encoder], "made by another model"),
    ]
    for references, message in cases:
        with pytest.raises(RecognizerError, match=message):
            verifier.verify(signatures[0], references)
    with pytest.raises(RecognizerError, match=r"no threshold for far 0\.5; .* to 0\.1 are possible"):
        verifier.verify(signatures[0], [vector], far=0.5)


def test_an_artefact_that_cannot_be_opened_is_a_user_error(artifact, tmp_path):
    with pytest.raises(BadArtifact, match="no such folder"):
        Recognizer.load(tmp_path / "none")
    with pytest.raises(BadArtifact, match="no manifest"):
        Recognizer.load(tmp_path)
    with pytest.raises(RecognizerError, match="threads is 0"):
        Recognizer.load(artifact, threads=0)
    for error in (BadArtifact, RecognizerError):
        assert issubclass(error, UserError)


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_artefacts_and_images_are_read_from_cloud_storage(artifact, classifier, files, tmp_path, monkeypatch):
    from google.cloud.storage import Client

    from tests.loopback.storage import cloud_storage
    from trainer.storage import Workdir

    with cloud_storage("bank") as url:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        monkeypatch.setenv("COUNTERSIGN_CACHE", str(tmp_path))
        Workdir(artifact, "gs://bank/models/1").push("manifest.json")
        with contextlib.closing(Client(project="test")) as client:
            client.bucket("bank").blob("scans/a.png").upload_from_filename(str(files[0]))
        remote = Recognizer.load("gs://bank/models/1")
        assert remote.predict("gs://bank/scans/a.png") == classifier.predict(files[0])
        for path in ("gs://bank/scans", "gs://bank/none.png"):
            with pytest.raises(UnreadableFile, match="nothing"):
                remote.predict(path)
        with pytest.raises(RecognizerError, match="gs://none"):
            Recognizer.load("gs://none/models/1")


def test_neither_tensorflow_nor_a_server_is_imported_and_a_health_check_needs_no_numpy(artifact, files):
    code = f"""
import sys, predictor.healthcheck
assert "numpy" not in sys.modules
from predictor import Recognizer
Recognizer.load({str(artifact)!r}).predict({str(files[0])!r})
assert not {{"tensorflow", "keras", "sklearn", "matplotlib", "starlette", "uvicorn", "msgspec"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_every_exported_name_is_there_and_no_other():
    assert all(getattr(predictor, name) for name in predictor.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Recogniser'"):
        predictor.Recogniser  # noqa: B018
