"""Training from the page: only for its own visitor, one at a time, and whatever goes wrong the server goes on."""

import httpx
import pytest

from tests.conftest import serving


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
        ({"json": {"problem": "x" * 20_000}}, 413),
        ({"content": b"problem=x"}, 415),
    ],
)
def test_what_is_no_settings_starts_nothing(developing, content, status):
    response = httpx.post(developing + "/train", **content)
    assert response.status_code == status
    assert httpx.get(developing + "/train").json()["state"] != "running"


def test_a_trainer_that_fails_says_why_and_another_may_begin(developing):
    for _ in range(2):
        assert httpx.post(developing + "/train", json={"problem": "same_wirter"}).status_code == 202
        assert httpx.post(developing + "/train", json={"problem": "same_writer"}).status_code == 409
        with httpx.stream("GET", developing + "/train", headers={"Accept": "text/event-stream"}, timeout=60) as events:
            assert any('"state":"failed"' in line for line in events.iter_lines())
    now = httpx.get(developing + "/train").json()
    assert "did you mean 'same_writer'" in " ".join(now["lines"])
    assert httpx.get(developing + "/health").status_code == 200
