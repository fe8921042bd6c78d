"""A canary that fails requests is not promoted: by the real SDK, on a loopback endpoint with failing requests."""

import shlex

import pytest

from deploy import __main__ as deploy
from tests.deploy.conftest import IMAGE
from tests.loopback.golden_deployments import GoldenDeployments
from tests.loopback.server import Loopback

ENDPOINT = "projects/my-project/locations/us-central1/endpoints/countersign"


@pytest.fixture
def machines(artifact):
    return GoldenDeployments(artifact)


@pytest.fixture
def command(capsys, bucket, machines, monkeypatch, tmp_path):
    """``command("promote")`` for production, where version 1 serves and version 2 is a canary with 10 %."""
    monkeypatch.chdir(tmp_path)
    with Loopback(machines) as cloud:

        def run(name: str, *flags: str, status: int = 0) -> str:
            common = [
                "--env",
                "production",
                "--poll-interval",
                "0.01",
                f"--store={bucket}/artifacts",
                "--smoke-requests=10",
            ]
            exit_status = deploy.main([name, *common, f"--api-endpoint={cloud.url}", "--anonymous", *flags])
            captured = capsys.readouterr()
            assert exit_status == status, captured.out + captured.err
            return captured.out + captured.err

        run.cloud = cloud
        yield run


@pytest.fixture
def canary(command, artifact):
    for image in (IMAGE, IMAGE.replace("1f", "2f")):
        command("apply", "--artifact", str(artifact), "--image", image, "--yes")
    return command


def traffic(cloud):
    endpoint = cloud.world.resources[ENDPOINT]
    versions = {model.id: model.model_version_id for model in endpoint.deployed_models}
    return {versions[id]: percentage for id, percentage in endpoint.traffic_split.items()}


@pytest.mark.parametrize("failing", [0.7, 1.0])
def test_a_canary_that_fails_requests_keeps_its_traffic_and_its_error_is_shown(canary, machines, failing):
    machines.failing["2"] = failing
    output = canary("promote", status=1)
    assert "more than 1 % of the requests failed" in output
    assert "1 x 500: Vertex AI failed: InternalServerError: the model server said: out of memory" in output
    assert len(machines.reached) < 100, "it was stopped at once"
    assert traffic(canary.cloud) == {"1": 90, "2": 10}
    suggested = [shlex.split(line)[5:] for line in output.splitlines() if line.startswith("run next: ")]
    assert [words[0] for words in suggested] == ["status", "rollback"]
    assert deploy.main(suggested[1]) == 0
    assert traffic(canary.cloud) == {"1": 100}


def test_a_canary_that_answers_is_promoted_and_its_requests_are_counted(canary, machines):
    output = canary("promote")
    assert output.count(" 0 failed") == 3
    assert traffic(canary.cloud) == {"2": 100}


def test_a_failing_version_with_all_traffic_fails_its_smoke_test(canary, machines):
    canary("rollback")
    machines.failing["1"] = 0.3
    output = canary("smoke", status=1)
    assert "has all the traffic" in output
    machines.failing["1"] = 0
    assert "golden answers as recorded; 10 requests" in canary("smoke")


def test_status_checks_each_deployed_model_that_has_traffic(canary, machines):
    output = canary("status")
    assert "(dedicated): answers\n" in output
    assert output.count(" up, answers") == 2
    machines.failing["2"] = 1
    output = canary("status")
    assert "(dedicated): fails sometimes: " in output
    assert "x 500: Vertex AI failed" in output
    (line,) = [line for line in output.splitlines() if "version 2 (" in line]
    assert "did not answer any of " in line
    machines.failing["1"] = 1
    assert "(dedicated): does not answer: 5 requests, 5 failed" in canary("status")
