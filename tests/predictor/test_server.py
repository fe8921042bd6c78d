"""The server as its clients see it: the contract of Vertex AI, over a real socket."""

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
from starlette.routing import Route

from predictor.app import create_app
from predictor.settings import Settings
from tests.conftest import ROOT, serving, terminate
from trainer.artifact import manifest
from trainer.artifact.artifact import Model
from trainer.artifact.manifest import read
from trainer.imaging import Imaging, canonicalise
from trainer.settings import config
from trainer.training import network


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def ask(server, content, **options) -> httpx.Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return httpx.post(server + "/predict", content=body, timeout=30, **options)


def error_of(response: httpx.Response) -> dict:
    assert set(response.json()) == {"error"}
    return response.json()["error"]


@pytest.fixture(scope="session")
def trained(run_dir) -> keras.Model:
    """The very model that was trained, from its checkpoint: not through the export."""
    described, wanted = read(run_dir / "model"), config.read(run_dir / "config.toml")
    built = network.build(wanted.model, Imaging(**described.imaging), tuple(described.labels))
    newest = tf.train.latest_checkpoint(run_dir / "checkpoints" / "best")
    tf.train.Checkpoint(weights=[v.value for v in built.variables]).restore(newest).expect_partial()
    return built


def test_answers_through_the_server_equal_keras_own(server, trained, artifact, scans):
    files = sorted(scans.rglob("*.*"))[::9]
    opened = Model(artifact)
    canonical = np.stack([canonicalise(f.read_bytes(), opened.imaging).image for f in files])
    expected = trained.predict(canonical, verbose=0)
    answers = ask(server, {"instances": [b64(f.read_bytes()) for f in files]}).json()["predictions"]
    labels = opened.manifest.labels
    found = np.array([[answer["scores"][label] for label in labels] for answer in answers])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert [answer["label"] for answer in answers] == [labels[i] for i in expected.argmax(axis=1)]


def test_every_form_of_an_instance_is_the_same_image(server, signature):
    text = b64(signature)
    forms = [text, {"b64": text}, {"image": {"b64": text}}, {"image_bytes": {"b64": text}}]
    predictions = ask(server, {"instances": forms, "parameters": {}}).json()["predictions"]
    assert len(predictions) == 4
    assert all(prediction == predictions[0] for prediction in predictions)
    assert set(predictions[0]) == {"label", "score", "scores", "warnings"}


def test_no_instances_no_predictions(server):
    assert ask(server, {"instances": []}).json() == {"predictions": []}


def test_health_says_what_is_served(server):
    response = httpx.get(server + "/health")
    assert response.status_code == 200
    assert response.json()["labels"] == ["signature", "text"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "an array"),
        (b"{}", '"instances" is missing'),
        (b'{"instances": 3}', '"instances" is a number'),
        (b'{"instances": [], "parameters": 1}', '"parameters" is a number'),
    ],
)
def test_a_body_that_breaks_the_contract_is_400_and_says_what_would_be_right(server, body, says):
    response = ask(server, body)
    assert response.status_code == 400
    assert error_of(response)["code"] == "bad_request"
    assert says in error_of(response)["message"]


@pytest.mark.parametrize(
    ("instance", "status", "code"),
    [
        (7, 400, "bad_request"),
        ({"image": {"url": "x"}}, 400, "bad_request"),
        ({"b64": "SECRET*"}, 400, "bad_request"),
        (b64(b"SECRET no image"), 400, "unreadable_image"),
    ],
)
def test_a_bad_instance_is_named_by_its_position_and_not_quoted(server, signature, instance, status, code):
    response = ask(server, {"instances": [b64(signature), instance]})
    assert response.status_code == status
    assert error_of(response)["code"] == code
    assert error_of(response)["instance"] == 1
    assert "SECRET" not in response.text


def test_an_image_without_ink_is_422(server):
    from tests.trainer.test_imaging import Image, saved

    response = ask(server, {"instances": [b64(saved(Image.new("L", (99, 99), 250), "PNG"))]})
    assert response.status_code == 422
    assert error_of(response)["code"] == "blank"


def test_unknown_routes_and_methods_are_errors_of_the_same_form(server):
    assert error_of(httpx.get(server + "/nowhere"))["code"] == "not_found"
    response = httpx.get(server + "/predict")
    assert response.status_code == 405
    assert error_of(response)["code"] == "method_not_allowed"


def test_a_request_that_is_too_large_is_413_and_names_the_limit(artifact, signature):
    with serving("--model", str(artifact), "--max-body-bytes", "5000", "--max-instances", "2") as server:
        announced = ask(server, b"x" * 6000)
        streamed = httpx.post(server + "/predict", content=iter([b"x" * 3000] * 3))
        many = ask(server, {"instances": ["", "", ""]})
    for response, limit in ((announced, "5,000"), (streamed, "5,000"), (many, "2")):
        assert response.status_code == 413
        assert limit in error_of(response)["message"]


def test_vertex_routes_port_and_artefact_come_from_the_environment(artifact):
    with serving(AIP_STORAGE_URI=str(artifact), AIP_PREDICT_ROUTE="/v1/ask") as server:
        assert httpx.post(server + "/v1/ask", json={"instances": []}).status_code == 200


def test_the_tensorflow_engine_serves_when_asked(artifact, server, signature):
    with serving("--model", str(artifact), "--engine", "tensorflow") as reference:
        answers = [ask(s, {"instances": [b64(signature)]}).json()["predictions"][0] for s in (server, reference)]
    assert answers[0]["score"] == pytest.approx(answers[1]["score"], abs=1e-4)


@pytest.mark.parametrize("damage", ["missing", "foreign", "type", "truncated", "imaging", "vector", "canonical"])
def test_a_broken_artefact_stops_the_server_with_one_clear_line(artifact, tmp_path, damage):
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
    else:  # as if this machine saw or answered differently: the files are whole, the recorded answer is another
        golden = json.loads((broken / "golden" / "golden.json").read_text())
        golden[4] |= {"vectors": {"float32": [0.0, 0.0]}} if damage == "vector" else {"canonical_sha256": "0" * 64}
        (broken / "golden" / "golden.json").write_text(json.dumps(golden))
        manifest.write(read(broken), broken)
    command = [sys.executable, "-m", "predictor", "--model", str(broken), "--port", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    (line,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert line["severity"] == "ERROR"
    says = {
        "missing": "no manifest", "foreign": "format", "type": "'training' is list", "truncated": "damaged",
        "imaging": "imaging", "vector": "is answered", "canonical": "another canonical image",
    }  # fmt: skip
    assert says[damage] in line["message"]


def test_sigterm_loses_nothing_that_was_taken(artifact, signature):
    body = json.dumps({"instances": [b64(signature)] * 20}).encode()
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with serving("--model", str(artifact)) as server:
        address = ("127.0.0.1", int(server.rsplit(":", 1)[1]))
        asking = [socket.create_connection(address) for _ in range(8)]
        for connection in asking:
            connection.sendall(head + body[:-1])
        assert httpx.get(server + "/health").status_code == 200  # answered behind them: all have been begun
        terminate(server)
        for connection in asking:
            connection.sendall(body[-1:])
        answers = [b"".join(iter(lambda c=connection: c.recv(1 << 16), b"")) for connection in asking]
        for connection in asking:
            connection.close()
    assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
    assert [len(json.loads(answer.split(b"\r\n\r\n", 1)[1])["predictions"]) for answer in answers] == [20] * 8


def test_a_fault_of_ours_is_500_with_an_id_that_the_log_has_and_nothing_else(artifact, signature, capsys):
    app = create_app(Settings(network=str(artifact)), give_up=lambda: None)

    async def broken(_):
        raise RuntimeError(b64(signature))

    async def asked():
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.get("/broken")

    app.router.routes.append(Route("/broken", broken))
    response = asyncio.run(asked())
    assert response.status_code == 500
    assert set(error_of(response)) == {"code", "message", "id"}
    log = capsys.readouterr().out
    assert error_of(response)["id"] in log
    assert b64(signature)[:60] not in log + response.text


def test_a_request_that_does_not_arrive_in_time_is_408(artifact):
    with serving("--model", str(artifact), "--deadline", "0.3") as server:
        half = socket.create_connection(("127.0.0.1", int(server.rsplit(":", 1)[1])))
        half.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        answer = half.recv(100)
        half.close()
    assert answer.startswith(b"HTTP/1.1 408")


def test_a_server_that_is_loading_answers_503_to_a_large_request_as_to_a_small_one(artifact, tmp_path):
    app = create_app(Settings(network=str(tmp_path / "not there yet")), give_up=lambda: None)

    async def asked():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
            return [await client.get("/health"), await client.post("/predict", content=b"x" * 1_000_000)]

    for response in asyncio.run(asked()):
        assert response.status_code == 503
        assert error_of(response)["code"] == "not_ready"
        assert response.headers["Retry-After"]


def test_no_route_is_guessed(server):
    assert error_of(httpx.get(server + "/health/"))["code"] == "not_found"


def test_a_full_server_refuses_at_once_and_says_when_to_come_back(artifact, signature, scans):
    with serving("--model", str(artifact), "--waiting", "0", "--threads", "1") as server:
        two = [b64(path.read_bytes()) for path in sorted((scans / "text").iterdir())[:2]]
        assert ask(server, {"instances": two}).status_code == 413, "it would never find room"
        with concurrent.futures.ThreadPoolExecutor(16) as clients:
            asked = [clients.submit(ask, server, {"instances": [b64(signature)]}) for _ in range(64)]
            answers = [future.result() for future in asked]
    assert {answer.status_code for answer in answers} == {200, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["Retry-After"] == "1"
    assert error_of(refused)["code"] == "busy"


def test_the_log_is_json_lines_that_never_hold_an_image(artifact, signature, capsys):
    text = b64(signature)
    with serving("--model", str(artifact)) as server:
        ask(server, {"instances": [text]})
        ask(server, {"instances": [text[:-40] + "*"]})
    log = capsys.readouterr().out
    assert [json.loads(line)["message"] for line in log.splitlines()][:2] == ["ready", "predict"]
    assert text[:60] not in log
