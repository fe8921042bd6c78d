"""The server over a real socket: the prediction contract of Vertex AI, its errors, health, start and stop."""

import asyncio
import base64
import concurrent.futures
import json
import shutil
import socket
import subprocess
import sys

import httpx
import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special
from starlette.routing import Route

from predictor import page
from predictor.app import create_app
from predictor.models import Models
from predictor.service import Service
from predictor.settings import Settings
from tests.conftest import ROOT, serving, terminate
from trainer.artifact import manifest
from trainer.artifact.artifact import Artifact
from trainer.artifact.manifest import read
from trainer.imaging import Imaging, canonicalise
from trainer.settings.config import read_config
from trainer.training import network


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def predict(server, content, **options) -> httpx.Response:
    """Post a body, or a value as JSON."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return httpx.post(server + "/predict", content=body, timeout=30, **options)


def get_error(response: httpx.Response) -> dict:
    """The error of a response, which contains nothing else."""
    assert set(response.json()) == {"error"}
    return response.json()["error"]


@pytest.fixture(scope="session")
def trained(run_dir) -> keras.Model:
    """The trained model, from its checkpoint and not from the export."""
    described, config = read(run_dir / "model"), read_config(run_dir / "config.toml")
    built = network.build_model(config.model, Imaging(**described.imaging), tuple(described.labels))
    newest = tf.train.latest_checkpoint(run_dir / "checkpoints" / "best")
    tf.train.Checkpoint(weights=[v.value for v in built.variables]).restore(newest).expect_partial()
    return built


def test_log_odds_of_the_server_are_those_of_keras_shifted_by_one_number(server, trained, artifact, scans):
    files = sorted(scans.rglob("*.*"))[::9]
    opened = Artifact(artifact)
    canonical = np.stack([canonicalise(f.read_bytes(), opened.imaging).image for f in files])
    log_odds = special.logit(trained.predict(canonical, verbose=0)[:, 0])
    predictions = predict(server, {"instances": [b64(f.read_bytes()) for f in files]}).json()["predictions"]
    labels = opened.manifest.labels
    scores = np.array([[prediction["scores"][label] for label in labels] for prediction in predictions])
    shift = np.median(special.logit(scores[:, 0]) - log_odds)  # export balances the errors of the two labels
    expected = special.expit(log_odds + shift)
    np.testing.assert_allclose(scores, np.stack([expected, 1 - expected], axis=1), atol=1e-5)
    assert [prediction["label"] for prediction in predictions] == [labels[i] for i in scores.argmax(axis=1)]


def test_every_form_of_an_instance_gets_the_same_prediction(server, signature):
    text = b64(signature)
    forms = [text, {"b64": text}, {"image": {"b64": text}}, {"image_bytes": {"b64": text}}]
    predictions = predict(server, {"instances": forms, "parameters": {}}).json()["predictions"]
    assert len(predictions) == 4
    assert all(prediction == predictions[0] for prediction in predictions)
    assert set(predictions[0]) == {"label", "score", "scores", "warnings"}


def test_a_request_without_instances_gets_no_predictions(server):
    assert predict(server, {"instances": []}).json() == {"predictions": []}


def test_health_describes_the_model(server):
    response = httpx.get(server + "/health")
    assert response.status_code == 200
    assert response.json()["labels"] == ["signature", "text"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "an array"),
        (b"{}", '"instances" is missing'),
        (b'{"instances": 3}', '"instances" is a number'),
        (b'{"instances": [], "parameters": 1}', '"parameters" is a number'),
    ],
)
def test_a_body_that_violates_the_contract_is_400_with_what_would_be_right(server, body, message):
    response = predict(server, body)
    assert response.status_code == 400
    assert get_error(response)["code"] == "bad_request"
    assert message in get_error(response)["message"]


@pytest.mark.parametrize(
    ("instance", "status", "code"),
    [
        (7, 400, "bad_request"),
        ({"image": {"url": "x"}}, 400, "bad_request"),
        ({"b64": "SECRET*"}, 400, "bad_request"),
        (b64(b"SECRET no image"), 400, "unreadable_image"),
    ],
)
def test_the_error_of_a_bad_instance_has_its_position_and_does_not_quote_it(server, signature, instance, status, code):
    response = predict(server, {"instances": [b64(signature), instance]})
    assert response.status_code == status
    assert get_error(response)["code"] == code
    assert get_error(response)["instance"] == 1
    assert "SECRET" not in response.text


def test_an_image_without_ink_is_422(server):
    from tests.trainer.imaging.test_ink import Image, saved

    response = predict(server, {"instances": [b64(saved(Image.new("L", (99, 99), 250), "PNG"))]})
    assert response.status_code == 422
    assert get_error(response)["code"] == "blank"


def test_unknown_routes_and_methods_get_errors_of_the_same_form(server):
    assert get_error(httpx.get(server + "/nowhere"))["code"] == "not_found"
    response = httpx.get(server + "/predict")
    assert response.status_code == 405
    assert get_error(response)["code"] == "method_not_allowed"


def test_a_request_that_is_too_large_is_413_and_names_the_limit(artifact, signature):
    with serving("--artifact", str(artifact), "--max-body-bytes", "5000", "--max-instances", "2") as server:
        announced = predict(server, b"x" * 6000)
        streamed = httpx.post(server + "/predict", content=iter([b"x" * 3000] * 3))
        many = predict(server, {"instances": ["", "", ""]})
    for response, limit in ((announced, "5,000"), (streamed, "5,000"), (many, "2")):
        assert response.status_code == 413
        assert limit in get_error(response)["message"]


def test_vertex_routes_port_and_artefact_come_from_the_environment(artifact):
    with serving(AIP_STORAGE_URI=str(artifact), AIP_PREDICT_ROUTE="/v1/predict") as server:
        assert httpx.post(server + "/v1/predict", json={"instances": []}).status_code == 200


def test_the_tensorflow_engine_gives_the_same_score_as_litert(artifact, server, signature):
    with serving("--artifact", str(artifact), "--engine", "tensorflow") as reference:
        answers = [predict(s, {"instances": [b64(signature)]}).json()["predictions"][0] for s in (server, reference)]
    assert answers[0]["score"] == pytest.approx(answers[1]["score"], abs=1e-4)


@pytest.mark.parametrize("damage", ["missing", "foreign", "type", "truncated", "imaging", "vector", "canonical"])
def test_a_broken_artefact_stops_the_server_with_one_line_that_names_the_reason(artifact, tmp_path, damage):
    broken = shutil.copytree(artifact, tmp_path / "model")
    if damage == "missing":
        (broken / "manifest.json").unlink()
    elif damage == "foreign":
        (broken / "manifest.json").write_text('{"format": "other"}')
    elif damage == "truncated":
        (broken / "model.tflite").write_bytes(b"short")
    elif damage == "type":
        described = json.loads((broken / "manifest.json").read_text())
        (broken / "manifest.json").write_text(json.dumps({**described, "training": []}))
    elif damage == "imaging":
        described = json.loads((broken / "manifest.json").read_text())
        described["imaging_fingerprint"] = "0" * 16
        (broken / "manifest.json").write_text(json.dumps(described))
    else:  # as if this machine decoded or computed differently: the checksums fit, the golden answer does not
        golden = json.loads((broken / "golden" / "golden.json").read_text())
        golden[4] |= {"vectors": {"float32": [0.0, 0.0]}} if damage == "vector" else {"canonical_sha256": "0" * 64}
        (broken / "golden" / "golden.json").write_text(json.dumps(golden))
        manifest.write(read(broken), broken)
    command = [sys.executable, "-m", "predictor", "--artifact", str(broken), "--port", "0"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert process.returncode == 1
    (line,) = [json.loads(line) for line in process.stdout.splitlines()]
    assert line["severity"] == "ERROR"
    messages = {
        "missing": "no manifest",
        "foreign": "format",
        "type": "'training' is list",
        "truncated": "damaged",
        "imaging": "imaging",
        "vector": "is answered",
        "canonical": "another canonical image",
    }
    assert messages[damage] in line["message"]


def test_after_sigterm_every_accepted_request_is_answered(artifact, signature):
    body = json.dumps({"instances": [b64(signature)] * 20}).encode()
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with serving("--artifact", str(artifact)) as server:
        address = ("127.0.0.1", int(server.rsplit(":", 1)[1]))
        connections = [socket.create_connection(address) for _ in range(8)]
        for connection in connections:
            connection.sendall(head + body[:-1])
        assert httpx.get(server + "/health").status_code == 200  # it is answered after them, so all have been accepted
        terminate(server)
        for connection in connections:
            connection.sendall(body[-1:])
        responses = [b"".join(iter(lambda c=connection: c.recv(1 << 16), b"")) for connection in connections]
        for connection in connections:
            connection.close()
    assert all(response.startswith(b"HTTP/1.1 200") for response in responses)
    contents = [json.loads(response.split(b"\r\n\r\n", 1)[1]) for response in responses]
    assert [len(content["predictions"]) for content in contents] == [20] * 8


def test_a_fault_of_the_server_is_500_with_an_id_that_the_log_has_and_nothing_else(artifact, signature, capsys):
    settings = Settings(artifact=str(artifact))
    app = create_app(settings, Service(settings, Models.open), on_load_failure=lambda: None)

    async def broken(_):
        raise RuntimeError(b64(signature))

    async def send():
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.get("/broken")

    app.router.routes.append(Route("/broken", broken))
    response = asyncio.run(send())
    assert response.status_code == 500
    assert set(get_error(response)) == {"code", "message", "id"}
    log = capsys.readouterr().out
    assert get_error(response)["id"] in log
    assert b64(signature)[:60] not in log + response.text


def test_a_request_that_does_not_arrive_in_time_is_408(artifact):
    with serving("--artifact", str(artifact), "--deadline", "0.3") as server:
        connection = socket.create_connection(("127.0.0.1", int(server.rsplit(":", 1)[1])))
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        response = connection.recv(100)
        connection.close()
    assert response.startswith(b"HTTP/1.1 408")


def test_a_server_that_is_loading_answers_503_to_small_and_large_requests(artifact, tmp_path):
    settings = Settings(artifact=str(tmp_path / "not there yet"))
    app = create_app(settings, Service(settings, Models.open), on_load_failure=lambda: None)

    async def send():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
            return [await client.get("/health"), await client.post("/predict", content=b"x" * 1_000_000)]

    for response in asyncio.run(send()):
        assert response.status_code == 503
        assert get_error(response)["code"] == "not_ready"
        assert response.headers["Retry-After"]


def test_files_of_the_page_have_its_headers_and_are_cached_by_etag(server):
    response = httpx.get(server + "/web/page.js")
    assert response.headers["Content-Type"].startswith("text/javascript")
    for name, value in page.HEADERS.items():
        assert response.headers[name] == value
    cached = httpx.get(server + "/web/page.js", headers={"If-None-Match": response.headers["ETag"]})
    assert (cached.status_code, cached.content) == (304, b"")
    assert get_error(httpx.get(server + "/web/index.html"))["code"] == "not_found", "it is served at /, with its routes"
    assert get_error(httpx.get(server + "/web/%2e%2e/index.html"))["code"] == "not_found"


def test_a_trailing_slash_is_not_redirected(server):
    assert get_error(httpx.get(server + "/health/"))["code"] == "not_found"


def test_a_full_server_refuses_at_once_with_the_time_to_retry(artifact, signature, scans):
    with serving("--artifact", str(artifact), "--max-waiting-images", "0", "--threads", "1") as server:
        two = [b64(path.read_bytes()) for path in sorted((scans / "text").iterdir())[:2]]
        assert predict(server, {"instances": two}).status_code == 413, "it has more images than there are slots"
        with concurrent.futures.ThreadPoolExecutor(16) as clients:
            futures = [clients.submit(predict, server, {"instances": [b64(signature)]}) for _ in range(64)]
            responses = [future.result() for future in futures]
    assert {response.status_code for response in responses} == {200, 429}
    refused = next(response for response in responses if response.status_code == 429)
    assert refused.headers["Retry-After"] == "1"
    assert get_error(refused)["code"] == "busy"


def test_the_log_has_json_lines_without_images(artifact, signature, capsys):
    text = b64(signature)
    with serving("--artifact", str(artifact)) as server:
        predict(server, {"instances": [text]})
        predict(server, {"instances": [text[:-40] + "*"]})
    log = capsys.readouterr().out
    assert [json.loads(line)["message"] for line in log.splitlines()][:2] == ["ready", "predict"]
    assert text[:60] not in log
