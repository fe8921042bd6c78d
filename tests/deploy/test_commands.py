"""Commands: what they refuse and say, by their flags, against a loopback Vertex AI on which nothing runs."""

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from google.cloud import aiplatform_v1 as api

from deploy import __main__ as deploy
from deploy import release, spec
from deploy.shares import blend
from tests.conftest import ROOT
from tests.deploy.conftest import IMAGE
from trainer import storage

PARENT = "projects/my-project/locations/us-central1"
ENDPOINT = f"{PARENT}/endpoints/countersign"
SECOND = IMAGE.replace("1f", "2f")


@pytest.fixture
def command(capsys, bucket, monkeypatch, tmp_path):
    """``command("plan", ..., status=0)`` for production, with a store of its own; what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, *flags: str, status: int = 0) -> str:
        found = deploy.main([name, "--env", "production", "--every", "0.01", f"--store={bucket}/artifacts", *flags])
        said = capsys.readouterr()
        assert found == status, said.out + said.err
        return said.out + said.err

    return run


def of(artifact, image=IMAGE):
    return ["--artifact", str(artifact), "--image", image]


def shares(cloud):
    return sorted(cloud.world.resources[ENDPOINT].traffic_split.values())


def test_apply_carries_out_the_plan_that_was_shown_without_being_given_anything_again(command, cloud, artifact):
    assert "run 'python -m deploy plan --env production' first" in command("apply", status=1)
    assert "carry it out with:\n  python -m deploy apply --env production\n" in command("plan", *of(artifact))
    assert "6 steps done" in command("apply")
    assert "nothing has changed" in command("apply", *of(artifact)), "the same plan again: all of it was done before"


def test_an_apply_that_differs_from_the_plan_names_each_difference(command, cloud, artifact, bucket):
    command("plan", *of(artifact), "--machine=n1-standard-2")
    said = command("apply", *of(artifact, SECOND), "--machine=n1-standard-8", status=1)
    assert f"[model] image: '{IMAGE}' in the plan, '{SECOND}' now" in said
    assert "[endpoint] machine: 'n1-standard-2' in the plan, 'n1-standard-8' now" in said
    assert said.count(" in the plan, ") == 2, "and nothing else"
    assert "run 'python -m deploy plan --env production' again" in said


def test_an_artefact_whose_contents_changed_after_the_plan_is_refused(command, cloud, artifact, another, tmp_path):
    folder = another("served")
    command("plan", *of(folder))
    shutil.rmtree(folder)
    shutil.copytree(artifact, folder)
    release.opened.cache_clear()
    assert "contents of the artefact: sha256:" in command("apply", status=1)


def test_an_environment_file_that_changed_after_the_plan_is_named_key_by_key(
    capsys, cloud, artifact, tmp_path, bucket, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "bank.toml"
    text = f"""
[place]
project = "my-project"
[model]
store = "{bucket}/artifacts"
[endpoint]
endpoint_id = "countersign"
machine = "n1-standard-2"
[training]
output = "{bucket}/jobs"
"""
    file.write_text(text)
    assert deploy.main(["plan", "--env=bank.toml", "--every=0.01", "--min-replicas=1", *of(artifact)]) == 0
    assert "python -m deploy apply --env bank.toml" in capsys.readouterr().out
    file.write_text(text.replace("n1-standard-2", "n1-standard-4") + '[labels]\nteam = "a"\n')
    assert deploy.main(["apply", "--env=bank.toml", "--every=0.01"]) == 1
    said = capsys.readouterr().err
    assert "[endpoint] machine: 'n1-standard-2' in the plan, 'n1-standard-4' now" in said
    assert "[labels] team: None in the plan, 'a' now" in said
    assert said.count(" in the plan, ") == 2
    file.write_text(text.replace("/jobs", "/other"))
    assert deploy.main(["apply", "--env=bank.toml", "--every=0.01"]) == 0, "[training] is no part of a plan"


def test_the_command_that_plan_prints_works_as_printed_in_a_fresh_shell(
    command, cloud, artifact, tmp_path, monkeypatch
):
    """The address is given by flags, the artefact by a path relative to this folder; the shell has neither."""
    for name in ("COUNTERSIGN_API_ENDPOINT", "COUNTERSIGN_ANONYMOUS"):
        monkeypatch.delenv(name)
    (tmp_path / "model").symlink_to(artifact)
    said = command(
        "plan", *of("model"), "--machine=n1-standard-2", "--api-endpoint", cloud.url, "--anonymous",
        "--out=my plans/first.json",
    )  # fmt: skip
    (line,) = [line.strip() for line in said.splitlines() if "python -m deploy apply" in line]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    how = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "timeout": 60}
    done = subprocess.run(["sh", "-c", line], **how)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 steps done" in done.stdout
    (deployed,) = cloud.world.resources[ENDPOINT].deployed_models
    assert deployed.dedicated_resources.machine_spec.machine_type == "n1-standard-2"
    assert "anonymous" not in (tmp_path / "my plans" / "first.json").read_text()


def test_a_plan_is_data_that_others_can_read_and_a_damaged_one_is_an_error(command, cloud, artifact, tmp_path):
    command("plan", *of(artifact), f"--out={tmp_path / 'plan.json'}")
    kept = json.loads((tmp_path / "plan.json").read_text())
    assert [step["step"] for step in kept["steps"]][:2] == ["Store", "Register"]
    assert "environment: 'production' in the plan, 'staging' now" in command(
        "apply", "--env=staging", f"--plan={tmp_path / 'plan.json'}", status=1
    )
    (tmp_path / "plan.json").write_text('{"format": "countersign-plan/1"}')
    assert "has the format 'countersign-plan/1'" in command("apply", f"--plan={tmp_path / 'plan.json'}", status=1)
    (tmp_path / "plan.json").write_text("{")
    assert "is no plan" in command("apply", *of(artifact), f"--plan={tmp_path / 'plan.json'}", status=1)


def test_a_plan_tells_steps_reasons_and_cost(command, cloud, artifact):
    command("apply", *of(artifact), "--yes")
    said = command("plan", *of(artifact, SECOND))
    assert "not needed: store artefact" in said
    assert "cost: about $" in said
    said = command("plan", *of(artifact), "--machine", "c9-mega-2")
    assert "cost: unknown; no price of c9-mega-2" in said


def test_the_gate_keeps_a_worse_candidate_from_promotion_and_says_why(command, cloud, artifact, another):
    command("apply", *of(artifact), "--yes")
    worse = another("worse", error=99.0)
    command("apply", *of(worse, SECOND), "--yes")
    assert shares(cloud) == [10, 90]
    for said in (command("promote", status=1), command("gate", *of(worse, SECOND), status=1)):
        assert "not promoted:" in said
        assert "error is 99.00 %" in said
    assert shares(cloud) == [10, 90], "nothing was changed"


def test_what_is_not_deployed_cannot_be_promoted(command, cloud, artifact):
    assert "no version has the alias 'challenger'" in command("promote", status=1)
    command("apply", *of(artifact), "--yes")
    assert "is not deployed" in command("promote", *of(artifact, SECOND), status=1)


def test_a_version_that_serves_without_its_name_is_compared_with_all_the_same(command, cloud, artifact, another):
    """An alias that was taken away, or a crash between two calls, opens no gate."""
    command("apply", *of(artifact), "--yes")
    cloud.world.models["projects/my-project/locations/us-central1/models/countersign"][0].version_aliases.remove(
        "champion"
    )
    said = command("apply", *of(another("worse", error=99.0), SECOND), "--traffic=100", "--yes", status=1)
    assert "error is 99.00 %" in said
    assert shares(cloud) == [100]


def test_a_plan_for_one_place_is_not_carried_out_at_another(command, cloud, artifact):
    command("plan", *of(artifact))
    said = command("apply", *of(artifact), "--endpoint-id=elsewhere", status=1)
    assert "[endpoint] endpoint_id: 'countersign' in the plan, 'elsewhere' now" in said


def test_credentials_do_not_go_in_the_clear(command, monkeypatch):
    monkeypatch.delenv("COUNTERSIGN_ANONYMOUS", raising=False)
    assert "in the clear" in command("status", "--api-endpoint=http://127.0.0.1:9", status=1)


def test_a_rollback_leaves_a_canary_or_returns_to_the_version_before(command, cloud, artifact):
    assert "there is no endpoint to roll back" in command("rollback", status=1)
    command("apply", *of(artifact), "--yes")
    assert "no version to roll back to" in command("rollback", status=1)
    command("apply", *of(artifact, SECOND), "--yes")
    command("rollback")
    assert shares(cloud) == [100]
    (one,) = cloud.world.resources[ENDPOINT].deployed_models
    assert one.model_version_id == "1", "the canary is gone, the champion has everything"


def test_the_gate_says_whether_the_candidate_itself_serves_or_nobody_does(command, cloud, artifact):
    assert "nobody serves yet" in command("gate", *of(artifact))
    command("apply", *of(artifact), "--yes")
    for said in (command("gate", *of(artifact)), command("promote")):
        assert "nobody serves yet" not in said
        assert "it is version 1 (sha256:" in said
        assert "which serves already" in said


def test_the_first_plan_does_not_speak_of_traffic_that_anything_has_already(command, cloud, artifact):
    said = command("plan", *of(artifact))
    assert "already" not in said
    assert said.count("where nothing has traffic, the deployment takes all of it") == 1


def test_promote_moves_traffic_only_and_names_what_it_would_have_to_change(command, cloud, artifact):
    command("apply", *of(artifact), "--yes")
    command("apply", *of(artifact, SECOND), "--yes")
    calls = len(cloud.world.calls)
    said = command("promote", "--machine=n1-standard-8", "--min-replicas=3", status=1)
    assert "version 2 (sha256:" in said
    assert "machine: 'n1-standard-4' deployed, 'n1-standard-8' declared" in said
    assert "min_replicas: 2 deployed, 3 declared" in said
    assert "run apply first" in said
    assert shares(cloud) == [10, 90]
    assert not {"DeployModel", "MutateDeployedModel"} & set(cloud.world.calls[calls:])


def test_predict_without_files_says_what_to_give(capsys):
    with pytest.raises(SystemExit) as left:
        deploy.main(["predict", "--env", "production"])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert "predict takes one or more image files" in said
    assert "python -m deploy predict --env production scan.png" in said


def test_a_quota_of_requests_is_not_answered_with_another_machine(command, cloud, artifact):
    cloud.fail("UploadModel", "too many requests")
    said = command("apply", *of(artifact), "--yes", status=1)
    assert "a quota is exhausted: Quota exceeded for quota metric 'Resource management (CRUD) requests'" in said
    assert "wait a minute and run this again" in said
    assert "another machine" not in said


def test_status_of_nothing_and_of_something(command, cloud, artifact):
    said = command("status")
    assert "0 versions" in said
    assert "there is none" in said
    command("apply", *of(artifact), "--yes")
    said = command("status")
    assert "champion" in said
    assert "100 % of the traffic, 2 of 2 to 8 x n1-standard-4 up" in said
    assert "does not answer: " in said
    assert "cost: about $320 to $1,279 a month" in said


def test_an_endpoint_that_is_not_there_is_said_so(command, cloud, scans):
    image = str(next((scans / "text").iterdir()))
    assert "there is no endpoint 'countersign'" in command("predict", image, status=1)
    assert "there is no endpoint" in command("smoke", status=1)
    assert "nothing to do" in command("teardown")


def test_a_file_that_is_no_image_is_named(command, cloud, artifact, tmp_path):
    command("apply", *of(artifact), "--yes")
    (tmp_path / "large.png").write_bytes(b"x" * 11_000_000)
    said = command("predict", str(tmp_path / "large.png"), status=1)
    assert "large.png" in said
    assert "xxx" not in said


def test_batch_reads_and_writes_cloud_storage_only(command, cloud, artifact, bucket, tmp_path):
    command("apply", *of(artifact), "--yes")
    assert "gs:// paths" in command("batch", "scans", f"--output={bucket}/answers", status=1)
    assert "there is no file" in command("batch", f"{bucket}/a.jsonl", f"--output={bucket}/answers", status=1)
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "a.txt").write_text("x")
    storage.Place(tmp_path / "none", f"{bucket}/none").push()
    assert "there are no images below" in command("batch", f"{bucket}/none", f"--output={bucket}/answers", status=1)


def test_without_credentials_the_message_says_how_to_get_some(command, cloud, artifact, monkeypatch, tmp_path):
    monkeypatch.delenv("COUNTERSIGN_ANONYMOUS")
    monkeypatch.setenv("COUNTERSIGN_API_ENDPOINT", "https://127.0.0.1:9")
    for name, value in {"GOOGLE_APPLICATION_CREDENTIALS": "", "HOME": str(tmp_path), "NO_GCE_CHECK": "true",
                        "CLOUDSDK_CONFIG": str(tmp_path)}.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    said = command("status", status=1)
    assert "gcloud auth application-default login" in said
    assert "--api-endpoint URL --anonymous" in said


def test_anonymous_needs_another_address(command, monkeypatch):
    monkeypatch.delenv("COUNTERSIGN_API_ENDPOINT", raising=False)
    assert "give --api-endpoint URL, too" in command("status", "--anonymous", status=1)
    assert "is no http:// or https://" in command("status", "--anonymous", "--api-endpoint=here", status=1)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("forbidden", "no permission: Permission 'aiplatform.endpoints.deploy' denied"),
        ("quota", "CustomModelServingCPUsPerProjectPerRegion; ask for more, or choose another machine"),
        ("operation fails", "Model server never became ready"),
    ],
)
def test_what_the_platform_says_reaches_people_in_one_message(command, cloud, artifact, kind, said):
    cloud.fail("DeployModel", kind)
    told = command("apply", *of(artifact), "--yes", status=1)
    assert said in told
    assert "http://" not in told
    assert "Traceback" not in told


def run_next(said: str) -> list[str]:
    """The flags of the command that a failure ends with."""
    (line,) = [line for line in said.splitlines() if line.startswith("run next: ")]
    assert said.endswith(line + "\n")
    words = shlex.split(line.removeprefix("run next: "))
    assert words[:3] == ["python", "-m", "deploy"]
    return words[3:]


@pytest.mark.parametrize("saved", [True, False])
def test_a_failure_ends_with_the_command_that_goes_on(command, cloud, artifact, saved):
    if saved:
        command("plan", *of(artifact))
    cloud.fail("DeployModel", "quota")
    following = run_next(command("apply", *of(artifact), *([] if saved else ["--yes"]), status=1))
    assert following[0] == "apply"
    assert deploy.main(following) == 0
    assert shares(cloud) == [100]


def test_a_plan_that_others_have_overtaken_is_made_again(command, cloud, artifact, tmp_path):
    file = str(tmp_path / "my plan.json")
    command("plan", *of(artifact), "--out", file)
    command("apply", *of(artifact), "--yes")
    cloud.world.resources[ENDPOINT].labels["team"] = "b"
    following = run_next(command("apply", *of(artifact), "--plan", file, status=1))
    assert deploy.main(following) == 0
    command("apply", *of(artifact), "--plan", file)
    assert "team" not in cloud.world.resources[ENDPOINT].labels


def test_a_service_that_never_ends_an_operation_is_given_up_with_a_word(platform, cloud, environment):
    import dataclasses

    from deploy import apply, commands
    from deploy.plan import diff

    desired = commands.wished(environment, platform.given.identity)
    plan = diff(desired, platform.read())
    platform.vertex.connection = dataclasses.replace(platform.vertex.connection, longest=0.1)
    cloud.world.looks = 10**9
    with pytest.raises(apply.Stopped, match=r"(?s)is not done after 0 s; it may still end.*could not clean up"):
        apply.run(desired, plan, platform, lambda line: None)


@pytest.mark.parametrize("name", list(deploy.COMMANDS))
def test_every_command_has_help_and_knows_its_environment(name, capsys):
    with pytest.raises(SystemExit) as left:
        deploy.main([name, "--help"])
    assert left.value.code == 0
    assert "--env" in capsys.readouterr().out
    assert f"python -m deploy {name}" in deploy.HELP or name == "gate"
    assert deploy.COMMANDS[name][2] in spec.NEEDED


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["aply"], "no command 'aply', did you mean 'apply'"),
        (["apply", "--env", "staging", "--machin", "x"], "unknown flag --machin"),
        (["status", "--env", "staging", "--every", "never"], "'never' is not a number"),
        (["status"], "required: --env"),
    ],
)
def test_a_typo_is_answered_with_what_would_be_right(arguments, said, capsys):
    with contextlib.suppress(SystemExit):
        assert deploy.main(arguments) == 2
    assert said in capsys.readouterr().err


def test_no_arguments_tell_what_there_is(capsys):
    assert deploy.main([]) == 2
    assert "python -m deploy promote" in capsys.readouterr().out


@pytest.fixture
def foreign(cloud):
    """``foreign(share)``: somebody else's model at the endpoint of production, with a share of the traffic."""

    def deployed(share: int) -> None:
        other = f"{PARENT}/models/other"
        with cloud.world.lock:
            at = cloud.world.resources.setdefault(ENDPOINT, api.Endpoint.pb(api.Endpoint(name=ENDPOINT)))
            at.dedicated_endpoint_enabled = True
            one = at.deployed_models.add(id="77", model=other, model_version_id="1")
            one.dedicated_resources.machine_spec.machine_type = "n1-standard-2"
            shares = blend(dict(at.traffic_split), "77", share) if share else dict(at.traffic_split)
            at.traffic_split.clear()
            at.traffic_split.update(shares)

    return deployed


def test_somebody_elses_model_keeps_its_share_and_is_called_foreign(command, cloud, artifact, foreign):
    command("apply", *of(artifact), "--yes")
    foreign(40)
    assert "  foreign model other@1 (id 77): 40 % of the traffic" in command("status")
    said = command("plan", *of(artifact, SECOND))
    assert "not needed: undeploy foreign model other@1 (id 77): this tool did not deploy it; --remove-foreign" in said
    command("apply")
    assert shares(cloud) == [10, 40, 50]
    said = command("promote", status=1)
    assert "foreign model other@1 (id 77) with 40 % of the traffic" in said
    assert "--remove-foreign" in said
    assert shares(cloud) == [10, 40, 50], "nothing was changed"
    command("rollback")
    assert shares(cloud) == [40, 60]


def test_somebody_elses_model_goes_only_where_that_is_asked_for(command, cloud, artifact, foreign):
    foreign(100)
    said = command("plan", *of(artifact), status=1)
    assert "foreign model other@1 (id 77) with 100 % of the traffic" in said
    assert "can have 0 %, not 10 %" in said
    assert "undeploy foreign" not in command("plan", *of(artifact), "--remove-foreign"), "it has 90 % still"
    command("apply")
    assert shares(cloud) == [10, 90]
    said = command("apply", *of(artifact), "--traffic=100", "--remove-foreign", "--yes")
    assert "undeploy foreign model other@1 (id 77)" in said
    assert shares(cloud) == [100]


def test_a_teardown_that_would_take_somebody_elses_model_says_so_first(command, cloud, artifact, foreign):
    command("apply", *of(artifact), "--yes")
    foreign(0)
    said = command("teardown", "--confirm=countersign", status=1)
    assert "foreign model other@1 (id 77)" in said
    assert ENDPOINT in cloud.world.resources
    said = command("teardown", "--remove-foreign", status=1)
    assert "undeploy foreign model other@1 (id 77)" in said, "shown before it is confirmed"
    command("teardown", "--confirm=countersign", "--remove-foreign")
    assert ENDPOINT not in cloud.world.resources
