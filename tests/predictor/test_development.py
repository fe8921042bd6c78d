"""Training from the page: for its visitor only, one at a time, and the server survives every failure."""

import concurrent.futures

import httpx
import pytest

from tests.conftest import serving

EMPTY_ZIP = b"PK\5\6" + bytes(18)


@pytest.fixture(scope="module")
def dev_server(artifact, tmp_path_factory):
    """The address of a development server."""
    runs = str(tmp_path_factory.mktemp("runs"))
    with serving("--artifact", str(artifact), "--mode", "dev", COUNTERSIGN_RUNS=runs) as address:
        yield address


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Host": "evil.example:8080"}])
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_page_of_another_site_cannot_train(dev_server, method, headers):
    """Also under a host name that resolves to this machine (DNS rebinding)."""
    response = httpx.request(method, dev_server + "/train", json={"problem": "same_writer"}, headers=headers)
    assert response.status_code == 403
    assert response.json()["error"]["code"] == "cross_site"
    assert httpx.get(dev_server + "/train").json()["state"] != "running"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ({"json": []}, 400),
        ({"json": {"--problem": "x"}}, 400),
        ({"json": {"problem": "x", "job_dir": "/"}}, 400),
        ({"json": {"problem": ["x"]}}, 400),
        ({"json": {"problem": "a\0b"}}, 400),
        ({"json": {"problem": "x", "model_dir": "/"}}, 400),
        ({"json": {"job-dir": "x"}}, 400),
        ({"json": {"problem": "x" * 20_000}}, 413),
        ({"content": b"problem=x"}, 415),
    ],
)
def test_invalid_settings_start_no_training(dev_server, content, status):
    response = httpx.post(dev_server + "/train", **content)
    assert response.status_code == status
    assert httpx.get(dev_server + "/train").json()["state"] != "running"


def test_without_a_model_the_server_starts_and_its_errors_name_the_next_step(tmp_path, no_ready_artifact):
    with serving("--mode", "dev", COUNTERSIGN_RUNS=str(tmp_path)) as address:
        assert httpx.get(address + "/").status_code == 200
        for response in (httpx.get(address + "/health"), httpx.post(address + "/predict", json={"instances": []})):
            assert response.status_code == 503
            assert response.json()["error"] == {"code": "no_model", "message": "no model yet: train one"}


@pytest.mark.parametrize(
    ("files", "data", "status", "message"),
    [
        ({"file": b"no zip"}, {}, 400, "no zip"),
        ({"images": b"PK"}, {}, 400, 'a field named "file"'),
        ({"file": None}, {"train_dir": "scans"}, 400, "contradict"),
        ({"file": None}, {"job_dir": "/"}, 400, "job_dir"),
        ({"file": b"x" * 300_000}, {}, 413, "200,000"),
    ],
)
def test_an_invalid_upload_starts_no_training_and_leaves_no_file(artifact, files, data, status, message, tmp_path):
    files = {name: content or EMPTY_ZIP for name, content in files.items()}
    limits = ("--max-upload-bytes", "200000")
    with serving("--artifact", str(artifact), "--mode", "dev", *limits, TMPDIR=str(tmp_path)) as address:
        response = httpx.post(address + "/train", files=files, data=data)
        assert response.status_code == status
        assert message in response.json()["error"]["message"]
        assert httpx.get(address + "/train").json()["state"] == "idle"
    assert list(tmp_path.iterdir()) == []


def test_of_several_simultaneous_requests_to_train_one_starts_and_no_upload_is_left(artifact, tmp_path):
    (tmp_path / "tmp").mkdir()
    environment = {"COUNTERSIGN_RUNS": str(tmp_path / "runs"), "TMPDIR": str(tmp_path / "tmp")}
    with serving("--artifact", str(artifact), "--mode", "dev", **environment) as address:
        with concurrent.futures.ThreadPoolExecutor(6) as clients:
            responses = list(clients.map(lambda _: httpx.post(address + "/train", files={"file": EMPTY_ZIP}), range(6)))
        assert sorted(response.status_code for response in responses) == [202] + [409] * 5
        httpx.delete(address + "/train", timeout=60)
    assert not list((tmp_path / "tmp").glob("countersign-*"))


def test_a_failed_training_shows_its_reason_and_another_may_start(dev_server):
    for _ in range(2):
        assert httpx.post(dev_server + "/train", json={"problem": "same_wirter"}).status_code == 202
        assert httpx.post(dev_server + "/train", json={"problem": "same_writer"}).status_code == 409
        with httpx.stream("GET", dev_server + "/train", headers={"Accept": "text/event-stream"}, timeout=60) as events:
            assert any('"state":"failed"' in line for line in events.iter_lines())
    state = httpx.get(dev_server + "/train").json()
    assert "did you mean 'same_writer'" in " ".join(state["lines"])
    assert httpx.get(dev_server + "/health").status_code == 200
