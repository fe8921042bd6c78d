"""Documents through the server, offline and in Python: boxes in points, crops, comparisons, and what is refused."""

import base64
import io
import json

import httpx
import numpy as np
import pytest
from PIL import Image

from predictor import Recognizer, offline
from predictor.image_input import RecognizerError
from tests.conftest import serving
from tests.trainer.documents import pdf_files
from trainer.imaging import ImageError

pytestmark = pytest.mark.slow


def encode(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode()}


def predict(address: str, instance: dict, **parameters) -> dict:
    response = httpx.post(f"{address}/predict", json={"instances": [instance], "parameters": parameters}, timeout=60)
    content = response.json()
    return content["predictions"][0] if response.status_code == 200 else {"status": response.status_code, **content}


def test_a_pdf_is_answered_page_by_page_with_boxes_in_points(chain_server, document):
    answer = predict(chain_server, {"image": encode(document)})
    assert answer["signed"] is True
    assert [page["page"] for page in answer["pages"]] == [1, 2]
    for page in answer["pages"]:
        assert (page["width"], page["height"], page["unit"]) == (pytest.approx(432), pytest.approx(576), "point")
    assert {region["page"] for region in answer["regions"]} == {1, 2}
    for region in answer["regions"]:
        left, top, right, bottom = region["box"]
        assert 0 <= left < right <= 432.1
        assert 0 <= top < bottom <= 576.1
        assert set(region) == {"page", "box", "score", "label"}


def test_a_bare_pdf_and_a_form_have_the_same_answer(chain_server, document):
    expected = predict(chain_server, {"image": encode(document)})
    bare = httpx.post(f"{chain_server}/predict", content=document, headers={"Content-Type": "application/pdf"})
    form = httpx.post(f"{chain_server}/predict", files={"image": ("a.pdf", document)}, data={"task": "find"})
    assert [response.json()["predictions"][0] for response in (bare, form)] == [expected] * 2


def test_with_references_every_signature_is_compared_and_the_document_decided(chain_server, document, signature):
    answer = predict(chain_server, {"image": encode(document), "references": [encode(signature)]}, far=0.01)
    assert answer["decision"] in ("match", "inconclusive", "mismatch", "missing")
    assert predict(chain_server, {"image": encode(signature)}).get("decision") is None


def test_crops_are_transparent_pictures_and_pages_are_returned_on_request(chain_server, signed_page):
    file = io.BytesIO()
    signed_page.save(file, "PNG")
    answer = predict(chain_server, {"image": encode(file.getvalue())}, crops=True, return_pages=True)
    crops = [region["crop"]["b64"] for region in answer["regions"] if "crop" in region]
    for crop in crops:
        assert Image.open(io.BytesIO(base64.b64decode(crop))).mode == "RGBA"
    picture = Image.open(io.BytesIO(base64.b64decode(answer["pages"][0]["picture"]["b64"])))
    assert (picture.format, picture.size) == ("JPEG", (600, 800))
    assert answer["pages"][0]["unit"] == "pixel"


def test_each_task_has_the_answer_of_its_part(chain_server, signature):
    image = {"image": encode(signature)}
    assert httpx.get(f"{chain_server}/model").json()["tasks"] == ["find", "classify", "verify"]
    assert "regions" in predict(chain_server, image)
    assert "label" in predict(chain_server, image, task="classify")
    compared = predict(chain_server, {**image, "references": [encode(signature)]}, task="verify")
    assert compared["score"] > 0.5
    assert "embedding" in predict(chain_server, image, return_embedding=True)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"task": "classify", "crops": True}, '"crops" and "return_pages" are of signatures on pages'),
        ({"return_ink": True}, '"return_ink" is for single images'),
        ({"explain": True, "task": "find"}, '"explain" is for single signatures'),
        ({"far": 0.01}, "no instance has references"),
    ],
)
def test_parameters_that_apply_to_nothing_are_refused(chain_server, signature, parameters, message):
    answer = predict(chain_server, {"image": encode(signature)}, **parameters)
    assert (answer["status"], answer["error"]["code"]) == (400, "unanswerable")
    assert message in answer["error"]["message"]


def test_a_server_of_a_classifier_says_which_tasks_it_answers(server, signature):
    answer = predict(server, {"image": encode(signature)}, task="find")
    assert "the models of this server answer: classify" in answer["error"]["message"]


@pytest.mark.parametrize(
    ("make", "status", "code"),
    [
        (lambda document: document[: len(document) // 3], 400, "unreadable_document"),
        (lambda document: pdf_files.one_page(page="/Rotate 90")[:60], 400, "unreadable_document"),
    ],
    ids=["cut", "head"],
)
def test_a_damaged_pdf_is_a_clear_error(chain_server, document, make, status, code):
    answer = predict(chain_server, {"image": encode(make(document))})
    assert (answer["status"], answer["error"]["code"]) == (status, code)


def test_a_document_of_too_many_pages_is_refused(chain_server, signed_page):
    file = io.BytesIO()
    signed_page.save(file, "TIFF", save_all=True, append_images=[signed_page] * 3)
    answer = predict(chain_server, {"image": encode(file.getvalue())})
    assert (answer["status"], answer["error"]["code"]) == (413, "document_too_large")
    assert "3 pages" in answer["error"]["message"]


def test_offline_prints_a_line_for_a_document_and_writes_crops_and_pictures(chain, document, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "letter.pdf").write_bytes(document)
    (tmp_path / "in" / "bad.pdf").write_bytes(document[:900])
    flags = ["--artifact", str(chain), "--format", "jsonl", "--crops", str(tmp_path / "crops")]
    assert offline.main([str(tmp_path / "in"), *flags, "--draw", str(tmp_path / "drawn")]) == 1
    bad, row = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert bad["error"]["code"] == "unreadable_document"
    assert (row["signed"], len(row["pages"])) == (True, 2)
    files = [region["crop"] for region in row["regions"] if "crop" in region]
    for file in files:
        with Image.open(file) as crop:
            assert crop.mode == "RGBA"
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["002-letter-1.png", "002-letter-2.png"]
    for format in ("csv", "table"):
        assert offline.main([str(tmp_path / "in" / "letter.pdf"), "--artifact", str(chain), "--format", format]) == 0
        assert "signed" in capsys.readouterr().out


def test_offline_has_the_answers_of_the_server(chain, chain_server, document, tmp_path, capsys):
    (tmp_path / "letter.pdf").write_bytes(document)
    assert offline.main([str(tmp_path / "letter.pdf"), "--artifact", str(chain), "--format", "jsonl"]) == 0
    row = json.loads(capsys.readouterr().out)
    del row["file"]
    assert row == predict(chain_server, {"image": encode(document)})


def test_a_recognizer_finds_and_compares(chain, document, signed_page, signature):
    recognizer = Recognizer.load(chain, threads=1)
    found = recognizer.find(document, crops=True)
    assert found.signed
    assert [each.unit for each in found.pages] == ["point", "point"]
    assert found.decision is None
    assert json.loads(json.dumps(found.to_dict()))["regions"][0]["page"] == 1
    compared = recognizer.find(signed_page, [signature])
    assert compared.decision
    assert recognizer.predict(signature).label in ("signature", "text")
    assert recognizer.verify(signature, [signature]).score is not None
    with pytest.raises(ImageError):
        recognizer.find(document[:900])


def test_a_recognizer_without_a_finder_says_what_it_answers(artifact, document):
    with pytest.raises(RecognizerError, match="does not answer find: use predict"):
        Recognizer.load(artifact).find(document)


def test_a_signature_on_a_page_is_cut_out_and_compared(chain, signed_page, signature):
    """The region is given, so that what is compared is the ink of the page under it."""
    recognizer = Recognizer.load(chain, threads=1)
    locator = recognizer.artifact.decision
    grid = np.zeros((*locator.grid, len(locator.labels) + 4), np.float32)
    box, side = np.array([200, 600, 440, 690]) / 800, locator.grid[0]
    row, column = (int((low + high) / 2 * side) for low, high in (box[1::2], box[::2]))
    grid[row, column, locator.labels.index("signature")] = 0.9
    centre = (np.array([column, row, column, row]) + 0.5) / side
    grid[row, column, len(locator.labels) :] = (box - centre) * (-1, -1, 1, 1)
    recognizer.artifact.compute_vector = lambda *_: grid.ravel()
    (region,) = [each for each in recognizer.find(signed_page, [signature], crops=True).regions if each.score > 0.5]
    np.testing.assert_allclose(region.box, (200, 600, 440, 690), atol=25)
    assert region.verification.decision in ("accept", "inconclusive", "reject", "not_a_signature")
    assert Image.open(io.BytesIO(region.crop)).width == pytest.approx(240, abs=40)


@pytest.fixture
def ready_chain(finder_artifact, artifact, verifier_artifact, tmp_path, monkeypatch) -> None:
    """An installation with all three ready artefacts."""
    (tmp_path / "ready").mkdir()
    for name, folder in (
        ("signature_on_page", finder_artifact), ("signature_vs_text", artifact), ("same_writer", verifier_artifact)
    ):  # fmt: skip
        (tmp_path / "ready" / name).symlink_to(folder)
    monkeypatch.setenv("COUNTERSIGN_READY", str(tmp_path / "ready"))


def test_a_server_without_settings_serves_the_whole_chain(ready_chain, document, signature, capsys):
    crop, pdf = (encode(data) for data in (signature, document))
    with serving() as address:
        found, classified, compared, verified = (
            predict(address, {"image": image, **rest}, **parameters)
            for image, rest, parameters in (
                (pdf, {}, {}),
                (crop, {}, {"task": "classify"}),
                (pdf, {"references": [crop]}, {}),
                (crop, {"references": [crop]}, {"task": "verify"}),
            )
        )
    assert {"signed", "regions", "pages"} <= found.keys()
    assert "label" in classified
    assert compared["decision"] in ("match", "inconclusive", "mismatch", "missing")
    assert verified["decision"] == "accept"
    ready = json.loads(capsys.readouterr().out.splitlines()[0])
    assert [ready[name] for name in ("artifact", "classifier_artifact", "verifier_artifact")] == [
        "ready:signature_on_page", "ready:signature_vs_text", "ready:same_writer"
    ]  # fmt: skip
    assert ready["golden_answers"] > 3 + 3, "the vectors of the finder, its regions, and those of the others"


def test_a_recognizer_without_a_path_answers_every_question(ready_chain, document, signature):
    recognizer = Recognizer.load(threads=1)
    assert recognizer.find(document).pages
    assert recognizer.predict(signature).label
    assert recognizer.verify(signature, [signature]).decision == "accept"


def test_offline_without_an_artefact_finds_signatures(ready_chain, document, tmp_path, capsys):
    (tmp_path / "letter.pdf").write_bytes(document)
    assert offline.main([str(tmp_path / "letter.pdf"), "--format", "jsonl"]) == 0
    printed = capsys.readouterr()
    assert "ready:signature_on_page answers" in printed.err
    assert "signed" in json.loads(printed.out)
