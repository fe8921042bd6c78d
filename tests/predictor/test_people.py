"""Writers on file at a server: verified and identified by name, reloaded when the file changes, managed in mode dev."""

import base64
import concurrent.futures
import contextlib
import json
import os
import random
import shutil
import time

import httpx
import pytest
from google.cloud.storage import Client

from predictor.errors import LoadError
from predictor.models import Models
from predictor.people import PeopleFile
from predictor.request import build_body
from predictor.service import Service
from predictor.settings import Settings
from tests.conftest import kill_server, serving
from tests.loopback.storage import cloud_storage
from trainer import enrol, ready
from trainer.artifact.artifact import Artifact
from trainer.enrolment import writers
from trainer.enrolment.errors import EnrolmentError
from trainer.enrolment.store import EnrolmentStore
from trainer.generators import pages

OPERATIONS = ("add", "remove", "export", "list", "verify", "identify")
PAGE_SEED, SIGNED_PAGE = 2**40, 3  # of a page on which the ready finder finds a signature


@pytest.fixture(scope="module")
def people(verifier_artifact, verification_data, tmp_path_factory):
    """The file of 16 writers."""
    path = tmp_path_factory.mktemp("people") / "people.sqlite"
    assert enrol.main([str(verifier_artifact), str(verification_data), "--out", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def genuine(verification_data):
    """Signatures of the writer 007."""
    return [path.read_bytes() for path in sorted((verification_data / "007").iterdir())]


@pytest.fixture(scope="module")
def server(people, verifier_artifact):
    """A server of mode prod with the writers on file."""
    with serving("--artifact", str(verifier_artifact), "--people", str(people)) as address:
        yield address


@pytest.fixture
def dev_server(verifier_artifact, tmp_path):
    """A server of mode dev whose file of writers does not exist yet."""
    arguments = ("--artifact", str(verifier_artifact), "--people", str(tmp_path / "people.sqlite"))
    with serving(*arguments, ENV_MODE="dev") as address:
        yield address


def b64(data: bytes) -> dict:
    return {"b64": base64.b64encode(data).decode()}


def predict(address: str, *instances: dict, **parameters) -> list[dict]:
    response = httpx.post(f"{address}/predict", json={"instances": list(instances), "parameters": parameters})
    content = response.json()
    return content["predictions"] if response.status_code == 200 else [{"status": response.status_code, **content}]


def post(address: str, writer: str, images: list[bytes], **fields) -> httpx.Response:
    rows = [{**b64(data), "label": f"scan {number}"} for number, data in enumerate(images)]
    return httpx.post(f"{address}/people", json={"writer": writer, "images": rows, **fields})


def delete(address: str, **content) -> httpx.Response:
    return httpx.request("DELETE", f"{address}/people", json=content)


def list_writers(address: str) -> dict[str, int]:
    rows = httpx.get(f"{address}/people").json()["writers"]
    return {row["writer"]: row["references"] for row in rows}


def test_a_writer_on_file_is_compared_as_the_references_are(server, genuine):
    named, sent = predict(
        server,
        {"image": b64(genuine[0]), "writer": "007"},
        {"image": b64(genuine[0]), "references": list(map(b64, genuine))},
    )
    assert named["decision"] == sent["decision"]
    assert named["score"] == pytest.approx(sent["score"], abs=1e-3)
    assert len(named["per_reference"]) == 7


def test_the_writer_is_searched_among_all_on_file(server, genuine):
    instance = {"image": b64(genuine[0]), "identify": True}
    (answer,) = predict(server, instance, fpir=0.2, candidates=3)
    assert (answer["decision"], answer["writer"], answer["writers"]) == ("identified", "007", 16)
    assert answer["candidates"][0] == {"writer": "007", "score": answer["score"]}
    assert len(answer["candidates"]) == 3
    assert answer["fpir"] == 0.2
    (with_embedding,) = predict(server, instance, return_embedding=True)
    assert len(with_embedding["candidates"]) == 5
    assert with_embedding["encoder"]


def test_a_form_names_the_writer_too(server, genuine):
    post_form = lambda **data: httpx.post(f"{server}/predict", files={"image": genuine[0]}, data=data)  # noqa: E731
    assert len(post_form(writer="007").json()["predictions"][0]["per_reference"]) == 7
    assert post_form(identify="true").json()["predictions"][0]["candidates"][0]["writer"] == "007"
    assert "true or false" in post_form(identify="maybe").json()["error"]["message"]
    both = httpx.post(f"{server}/predict", files={"image": genuine[0], "reference": genuine[1]}, data={"writer": "007"})
    assert "contradict each other" in both.json()["error"]["message"]


def test_a_writer_who_is_not_on_file_is_an_error_of_the_instance(server, genuine):
    unknown, known = {"image": b64(genuine[0]), "writer": "nobody"}, {"image": b64(genuine[0]), "writer": "007"}
    (answer,) = predict(server, unknown)
    assert (answer["status"], answer["error"]["code"]) == (422, "not_enrolled")
    rows = predict(server, known, unknown, on_error="row")
    assert "decision" in rows[0]
    assert rows[1]["error"] == {
        "code": "not_enrolled",
        "message": "instance 1: no writer 'nobody' is on file, among 16",
        "instance": 1,
    }


@pytest.mark.parametrize(
    ("fields", "parameters", "message"),
    [
        ({"writer": "007", "identify": True}, {}, '"writer" and "identify" contradict each other'),
        ({"writer": "007", "references": []}, {}, None),
        ({"identify": True, "reference_embeddings": [[1.0]]}, {}, "contradict each other"),
        ({"identify": True}, {"far": 0.01}, '"fpir" that decides'),
        ({"writer": "007"}, {"fpir": 0.01}, 'for instances with "identify"'),
        ({"identify": True}, {"fpir": 0}, "above 0 and below 1"),
        ({"identify": True}, {"candidates": 21}, "from 1 to 20"),
        ({"identify": "yes"}, {}, "true or false"),
        ({"writer": 7}, {}, "the name of a writer on file"),
        ({"identify": True}, {"explain": True}, "nothing to decide"),
    ],
)
def test_what_contradicts_itself_is_refused(server, genuine, fields, parameters, message):
    (answer,) = predict(server, {"image": b64(genuine[0]), **fields}, **parameters)
    if message is None:
        assert "decision" in answer
    else:
        assert answer["status"] == 400
        assert message in answer["error"]["message"]


def test_a_server_without_writers_on_file_says_so(verifier_server, genuine):
    for fields in ({"writer": "007"}, {"identify": True}):
        (answer,) = predict(verifier_server, {"image": b64(genuine[0]), **fields})
        assert (answer["status"], answer["error"]["code"]) == (400, "unanswerable")
        assert "--people" in answer["error"]["message"]


def test_counts_are_published_and_names_are_not(server, genuine):
    assert httpx.get(f"{server}/model").json()["people"] == {"writers": 16, "references": 112}
    assert httpx.get(f"{server}/people").status_code == 404
    assert httpx.get(f"{server}/people.sqlite").status_code == 404


def test_a_replaced_file_is_answered_from_and_a_damaged_one_is_not(verifier_artifact, people, genuine, tmp_path, capfd):
    path = tmp_path / "people.sqlite"
    shutil.copy(people, path)
    arguments = ("--artifact", str(verifier_artifact), "--people", str(path), "--people-reload", "0.1")
    with serving(*arguments) as address:
        (tmp_path / "damaged").write_text("no file of writers")
        os.replace(tmp_path / "damaged", path)
        time.sleep(0.5)
        assert len(predict(address, {"image": b64(genuine[0]), "writer": "007"})[0]["per_reference"]) == 7
        verifier = Artifact(verifier_artifact)
        references = writers.make_references([("one", verifier.encode(genuine[1]).vector)])
        with EnrolmentStore.replace(path, verifier.encoder, verifier.manifest.vector_size) as store:
            writers.put_writer(store, verifier.decision, "new", references)
        wait_for(lambda: httpx.get(f"{address}/model").json()["people"] == {"writers": 1, "references": 1})
        assert len(predict(address, {"image": b64(genuine[0]), "writer": "new"})[0]["per_reference"]) == 1
    output = capfd.readouterr().out
    assert output.count("cannot be reloaded, the previous ones answer") == 1
    assert "writers on file reloaded" in output
    assert "007" not in output
    assert "chmod 600" not in output


def wait_for(is_true, seconds: float = 10.0) -> None:
    expires_at = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < expires_at
        time.sleep(0.02)


def test_writers_of_another_model_stop_the_start(verifier_artifact, tmp_path):
    EnrolmentStore.create(tmp_path / "people.sqlite", "another encoder", 64).close()
    with pytest.raises(EnrolmentError, match="enrolled with another model"):
        PeopleFile(str(tmp_path / "people.sqlite")).open(Artifact(verifier_artifact))
    with pytest.raises(EnrolmentError, match="this server has none"):
        PeopleFile(str(tmp_path / "people.sqlite")).open(None)


def test_a_development_server_without_a_verifier_starts_and_says_that_nobody_is_on_file(artifact, tmp_path, capfd):
    settings = Settings(artifact=str(artifact), people=str(tmp_path / "people.sqlite"), mode="dev")
    service = Service(settings, Models.open, PeopleFile.from_settings(settings))
    assert "people" not in service.load()
    assert "served without people on file" in capfd.readouterr().out
    assert not (tmp_path / "people.sqlite").exists()


def test_a_model_that_was_trained_meanwhile_is_served_without_the_writers_of_the_previous_one(
    verifier_artifact, tmp_path
):
    path = tmp_path / "people.sqlite"
    EnrolmentStore.create(path, "another encoder", 64).close()
    models = Models.compose(Artifact(verifier_artifact))
    settings = Settings(artifact=str(verifier_artifact))
    service = Service(settings, lambda *_: models, PeopleFile(str(path), is_writable=True))
    with pytest.raises(LoadError, match="enrolled with another model"):
        service.load()
    service.load("runs/page/model")
    assert service.models.gallery is None


def test_a_file_that_others_may_read_is_warned_of(tmp_path):
    (tmp_path / "people.sqlite").touch(0o644)
    assert "chmod 600" in PeopleFile(str(tmp_path / "people.sqlite")).find_permissive()
    (tmp_path / "people.sqlite").chmod(0o600)
    assert PeopleFile(str(tmp_path / "people.sqlite")).find_permissive() is None


def test_the_page_adds_replaces_and_removes_writers(dev_server, genuine):
    assert list_writers(dev_server) == {}
    added = post(dev_server, "anna/B", genuine[:2]).json()
    assert [row["label"] for row in added["references"]] == ["scan 0", "scan 1"]
    post(dev_server, "anna/B", genuine[2:5])
    post(dev_server, "bert", genuine[:1])
    assert list_writers(dev_server) == {"anna/B": 5, "bert": 1}
    assert len(predict(dev_server, {"image": b64(genuine[6]), "writer": "anna/B"})[0]["per_reference"]) == 5
    replaced = post(dev_server, "anna/B", [genuine[3], genuine[3]], replace=True).json()
    assert len(replaced["references"]) == 1
    assert replaced.pop("left_out") == ["scan 1"], "the copy"
    details = httpx.get(f"{dev_server}/people", params={"writer": "anna/B"}).json()
    assert details == replaced
    assert delete(dev_server, writer="bert").json()["writers"] == [{"writer": "anna/B", "references": 1}]
    assert delete(dev_server, writer="anna/B", reference=details["references"][0]["id"]).json() == {"writers": []}
    assert delete(dev_server, writer="anna/B").json()["error"]["code"] == "not_enrolled"


def test_one_bad_image_refuses_the_whole_change(dev_server, genuine):
    for image, code in ((b"no image", "unreadable_image"), (make_photograph(), "not_a_signature")):
        response = post(dev_server, "anna", [genuine[0], image])
        assert (response.json()["error"]["code"], response.json()["error"]["instance"]) == (code, 1)
    assert list_writers(dev_server) == {}


def make_photograph() -> bytes:
    """Make an image that is dark almost everywhere."""
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.effect_noise((200, 200), 120).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("body", ["", "[]", '{"writer": ""}', '{"writer": "a", "images": []}', '{"name": "a"}'])
def test_a_body_that_violates_the_contract_is_refused(dev_server, body):
    response = httpx.post(f"{dev_server}/people", content=body)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "bad_request")


def test_a_change_that_was_answered_survives_a_kill(verifier_artifact, genuine, tmp_path):
    arguments = ("--artifact", str(verifier_artifact), "--people", str(tmp_path / "people.sqlite"))
    with contextlib.suppress(AssertionError), serving(*arguments, ENV_MODE="dev") as address:
        assert post(address, "anna", genuine[:3]).status_code == 200
        kill_server(address)
    with serving(*arguments, ENV_MODE="dev") as address:
        assert list_writers(address) == {"anna": 3}


def test_an_export_serves_in_mode_prod(dev_server, verifier_artifact, genuine, tmp_path):
    post(dev_server, "anna", genuine[:3])
    exported = httpx.get(f"{dev_server}/people.sqlite")
    assert exported.headers["content-type"] == "application/vnd.sqlite3"
    assert exported.headers["cache-control"] == "no-store"
    (tmp_path / "export.sqlite").write_bytes(exported.content)
    with serving("--artifact", str(verifier_artifact), "--people", str(tmp_path / "export.sqlite")) as address:
        assert len(predict(address, {"image": b64(genuine[6]), "writer": "anna"})[0]["per_reference"]) == 3


def test_another_site_changes_and_reads_nothing(dev_server, genuine):
    body = {"writer": "anna", "images": [b64(genuine[0])]}
    for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
        assert httpx.post(f"{dev_server}/people", json=body, headers=headers).status_code == 403
        assert httpx.get(f"{dev_server}/people", headers=headers).status_code == 403
        assert httpx.get(f"{dev_server}/people.sqlite", headers=headers).status_code == 403
    assert list_writers(dev_server) == {}


def test_the_signatures_of_a_page_are_compared_with_a_writer_and_identified(verifier_artifact, signature, tmp_path):
    page, _ = pages.generate_image(PAGE_SEED, SIGNED_PAGE, "signed", 0)
    verifier = Artifact(verifier_artifact)
    path = tmp_path / "people.sqlite"
    references = writers.make_references([("one", verifier.encode(signature).vector)])
    with EnrolmentStore.replace(path, verifier.encoder, verifier.manifest.vector_size) as store:
        writers.put_writer(store, verifier.decision, "anna", references)
    arguments = ("--artifact", ready.FINDER, "--verifier", str(verifier_artifact), "--people", str(path))
    with serving(*arguments) as address:
        (named,) = predict(address, {"image": b64(page), "writer": "anna"})
        assert named["decision"] in ("match", "inconclusive", "mismatch")
        (searched,) = predict(address, {"image": b64(page), "identify": True})
        signatures = [region for region in searched["regions"] if region["label"] == "signature"]
        assert signatures
        assert all(region["identification"]["writers"] == 1 for region in signatures)


def test_the_request_maker_names_a_writer(genuine):
    content = json.loads(build_body(genuine[:1], writer="007"))
    assert content["instances"][0]["writer"] == "007"
    content = json.loads(build_body(genuine[:1], identify=True, fpir=0.1))
    assert content["instances"][0]["identify"] is True
    assert content["parameters"] == {"fpir": 0.1}


def test_writers_on_cloud_storage_are_served_and_followed_when_the_object_changes(
    verifier_artifact, verification_data, people, genuine, tmp_path, monkeypatch
):
    with cloud_storage("countersign-people") as url:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        path = "gs://countersign-people/people.sqlite"
        bucket = Client().bucket("countersign-people")
        bucket.blob("people.sqlite").upload_from_filename(people)
        arguments = ("--artifact", str(verifier_artifact), "--people", path, "--people-reload", "0.2")
        with serving(*arguments) as address:
            assert predict(address, {"image": b64(genuine[6]), "writer": "007"})[0]["decision"]
            for name in ("007", "007_forg"):
                shutil.copytree(verification_data / name, tmp_path / "one" / name)
            smaller = tmp_path / "smaller.sqlite"
            assert enrol.main([str(verifier_artifact), str(tmp_path / "one"), "--out", str(smaller)]) == 0
            bucket.blob("people.sqlite").upload_from_filename(smaller)
            wait_until(lambda: httpx.get(f"{address}/model").json()["people"]["writers"] == 1)
            assert predict(address, {"image": b64(genuine[6]), "writer": "007"})[0]["decision"]
            bucket.blob("people.sqlite").delete()
            time.sleep(1)
            assert predict(address, {"image": b64(genuine[6]), "writer": "007"})[0]["decision"], "the previous ones"
    with pytest.raises(EnrolmentError, match="cannot be read"):
        PeopleFile(path).open(Artifact(verifier_artifact))


def wait_until(is_true) -> None:
    until = time.monotonic() + 20
    while not is_true():
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_file_that_is_damaged_in_place_is_a_503_and_a_replaced_one_is_answered_from(
    verifier_artifact, people, genuine, tmp_path
):
    file = tmp_path / "people.sqlite"
    shutil.copy(people, file)
    content = file.read_bytes()
    arguments = ("--artifact", str(verifier_artifact), "--people", str(file), "--people-reload", "0.2")
    with serving(*arguments) as address:
        file.write_bytes(content[:4096])
        for fields in ({"writer": "007"}, {"identify": True}):
            (answer,) = predict(address, {"image": b64(genuine[6]), **fields})
            assert (answer["status"], answer["error"]["code"]) == (503, "people_unreadable")
            assert str(file) not in answer["error"]["message"], "the log has the path"
        assert httpx.get(f"{address}/health").status_code == 200, "other requests are answered"
        (tmp_path / "new").write_bytes(content)
        os.replace(tmp_path / "new", file)
        wait_until(lambda: "decision" in predict(address, {"image": b64(genuine[6]), "writer": "007"})[0])


@pytest.mark.timeout(120)
def test_changes_exports_and_answers_at_the_same_time_neither_fail_nor_mix(dev_server, genuine):
    assert post(dev_server, "stays", genuine[:3]).status_code == 200
    statuses: list[tuple[str, int]] = []
    counts: set[int] = set()
    until = time.monotonic() + 6

    def work(number: int) -> None:
        random_choice = random.Random(number)
        with httpx.Client(timeout=30) as client:
            while time.monotonic() < until:
                name, writer = random_choice.choice(OPERATIONS), f"w{number}"
                images = [b64(random_choice.choice(genuine))]
                requests = {
                    "add": ("POST", "/people", {"writer": writer, "images": images}),
                    "remove": ("DELETE", "/people", {"writer": writer}),
                    "export": ("GET", "/people.sqlite", None),
                    "list": ("GET", "/people", None),
                    "verify": ("POST", "/predict", {"instances": [{"image": images[0], "writer": "stays"}]}),
                    "identify": ("POST", "/predict", {"instances": [{"image": images[0], "identify": True}]}),
                }
                method, path, content = requests[name]
                response = client.request(method, dev_server + path, json=content)
                statuses.append((name, response.status_code))
                if name == "verify" and response.status_code == 200:
                    counts.add(len(response.json()["predictions"][0]["per_reference"]))

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert {name for name, status in statuses if status == 200} == set(OPERATIONS)
    assert [each for each in statuses if each[1] != 200 and each != ("remove", 422)] == []
    assert counts == {3}
