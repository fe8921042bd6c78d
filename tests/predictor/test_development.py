"""Training from the page: only for its own visitor, one at a time, and whatever goes wrong the server goes on."""

import concurrent.futures

import httpx
import pytest

from tests.conftest import serving

EMPTY_ZIP = b"PK\5\6" + bytes(18)


@pytest.fixture(scope="module")
def developing(artifact, tmp_path_factory):
    """The address of a development server."""
    runs = str(tmp_path_factory.mktemp("runs"))
    with serving("--model", str(artifact), "--mode", "dev", COUNTERSIGN_RUNS=runs) as address:
        yield address


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Host": "evil.example:8080"}])
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_another_sites_page_cannot_train(developing, method, headers):
    """Nor one whose name was pointed at this machine (DNS rebinding)."""
    response = httpx.request(method, developing + "/train", json={"problem": "same_writer"}, headers=headers)
    assert response.status_code == 403
    assert response.json()["error"]["code"] == "other_site"
    assert httpx.get(developing + "/train").json()["state"] != "running"


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
def test_what_is_no_settings_starts_nothing(developing, content, status):
    response = httpx.post(developing + "/train", **content)
    assert response.status_code == status
    assert httpx.get(developing + "/train").json()["state"] != "running"


def test_without_a_model_the_server_starts_and_says_what_to_do(tmp_path):
    with serving("--mode", "dev", COUNTERSIGN_RUNS=str(tmp_path)) as address:
        assert httpx.get(address + "/").status_code == 200
        for answer in (httpx.get(address + "/health"), httpx.post(address + "/predict", json={"instances": []})):
            assert answer.status_code == 503
            assert answer.json()["error"] == {"code": "no_model", "message": "no model yet: train one"}


@pytest.mark.parametrize(
    ("files", "data", "status", "says"),
    [
        ({"file": b"no zip"}, {}, 400, "no zip"),
        ({"images": b"PK"}, {}, 400, 'a field named "file"'),
        ({"file": None}, {"train_dir": "scans"}, 400, "contradict"),
        ({"file": None}, {"job_dir": "/"}, 400, "job_dir"),
        ({"file": b"x" * 300_000}, {}, 413, "200,000"),
    ],
)
def test_an_upload_that_cannot_be_trained_on_starts_nothing_and_leaves_nothing(
    artifact, files, data, status, says, tmp_path
):
    files = {name: content or EMPTY_ZIP for name, content in files.items()}
    limits = ("--max-upload-bytes", "200000")
    with serving("--model", str(artifact), "--mode", "dev", *limits, TMPDIR=str(tmp_path)) as address:
        answer = httpx.post(address + "/train", files=files, data=data)
        assert answer.status_code == status
        assert says in answer.json()["error"]["message"]
        assert httpx.get(address + "/train").json()["state"] == "idle"
    assert list(tmp_path.iterdir()) == []


def test_of_several_trainings_that_are_asked_for_at_once_one_begins_and_no_upload_is_left(artifact, tmp_path):
    (tmp_path / "tmp").mkdir()
    where = {"COUNTERSIGN_RUNS": str(tmp_path / "runs"), "TMPDIR": str(tmp_path / "tmp")}
    with serving("--model", str(artifact), "--mode", "dev", **where) as address:
        with concurrent.futures.ThreadPoolExecutor(6) as clients:
            begun = list(clients.map(lambda _: httpx.post(address + "/train", files={"file": EMPTY_ZIP}), range(6)))
        assert sorted(answer.status_code for answer in begun) == [202] + [409] * 5
        httpx.delete(address + "/train", timeout=60)
    assert not list((tmp_path / "tmp").glob("countersign-*"))


def test_a_trainer_that_fails_says_why_and_another_may_begin(developing):
    for _ in range(2):
        assert httpx.post(developing + "/train", json={"problem": "same_wirter"}).status_code == 202
        assert httpx.post(developing + "/train", json={"problem": "same_writer"}).status_code == 409
        with httpx.stream("GET", developing + "/train", headers={"Accept": "text/event-stream"}, timeout=60) as events:
            assert any('"state":"failed"' in line for line in events.iter_lines())
    now = httpx.get(developing + "/train").json()
    assert "did you mean 'same_writer'" in " ".join(now["lines"])
    assert httpx.get(developing + "/health").status_code == 200
