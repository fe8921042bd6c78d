"""Commands print and refuse what their flags require, against a loopback Vertex AI on which nothing runs."""

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
from deploy import artifact_store, command_line, spec
from deploy.traffic_split import rebalance
from tests.conftest import ROOT
from tests.deploy.conftest import IMAGE
from trainer import storage

PARENT = "projects/my-project/locations/us-central1"
ENDPOINT = f"{PARENT}/endpoints/countersign"
SECOND = IMAGE.replace("1f", "2f")


@pytest.fixture
def command(capsys, bucket, monkeypatch, tmp_path):
    """``command("plan", ..., status=0)`` runs a command for production, with a separate store; returns its output."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, *flags: str, status: int = 0) -> str:
        exit_status = deploy.main(
            [name, "--env", "production", "--poll-interval", "0.01", f"--store={bucket}/artifacts", *flags]
        )
        captured = capsys.readouterr()
        assert exit_status == status, captured.out + captured.err
        return captured.out + captured.err

    return run


def release_flags(artifact, image=IMAGE):
    return ["--artifact", str(artifact), "--image", image]


def percentages(cloud):
    return sorted(cloud.world.resources[ENDPOINT].traffic_split.values())


def test_apply_executes_the_plan_that_was_shown_without_further_flags(command, cloud, artifact):
    assert "run 'python -m deploy plan --env production' first" in command("apply", status=1)
    assert "apply it with:\n  python -m deploy apply --env production\n" in command("plan", *release_flags(artifact))
    assert "6 steps done" in command("apply")
    assert "nothing has changed" in command("apply", *release_flags(artifact)), (
        "the same plan again: all of it was done before"
    )


def test_an_apply_that_differs_from_the_plan_names_each_difference(command, cloud, artifact, bucket):
    command("plan", *release_flags(artifact), "--machine-type=n1-standard-2")
    output = command("apply", *release_flags(artifact, SECOND), "--machine-type=n1-standard-8", status=1)
    assert f"[model] image: '{IMAGE}' in the plan, '{SECOND}' now" in output
    assert "[endpoint] machine_type: 'n1-standard-2' in the plan, 'n1-standard-8' now" in output
    assert output.count(" in the plan, ") == 2, "and nothing else"
    assert "run 'python -m deploy plan --env production' again" in output


def test_an_artefact_whose_contents_changed_after_the_plan_is_refused(
    command, cloud, artifact, copy_artifact, tmp_path
):
    folder = copy_artifact("served")
    command("plan", *release_flags(folder))
    shutil.rmtree(folder)
    shutil.copytree(artifact, folder)
    artifact_store.open_artifact.cache_clear()
    assert "contents of the artefact: sha256:" in command("apply", status=1)


def test_an_environment_file_that_changed_after_the_plan_is_named_key_by_key(
    capsys, cloud, artifact, tmp_path, bucket, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "bank.toml"
    text = f"""
[location]
project = "my-project"
[model]
store = "{bucket}/artifacts"
[endpoint]
endpoint_id = "countersign"
machine_type = "n1-standard-2"
[training]
output = "{bucket}/jobs"
"""
    file.write_text(text)
    assert (
        deploy.main(["plan", "--env=bank.toml", "--poll-interval=0.01", "--min-replicas=1", *release_flags(artifact)])
        == 0
    )
    assert "python -m deploy apply --env bank.toml" in capsys.readouterr().out
    file.write_text(text.replace("n1-standard-2", "n1-standard-4") + '[labels]\nteam = "a"\n')
    assert deploy.main(["apply", "--env=bank.toml", "--poll-interval=0.01"]) == 1
    output = capsys.readouterr().err
    assert "[endpoint] machine_type: 'n1-standard-2' in the plan, 'n1-standard-4' now" in output
    assert "[labels] team: None in the plan, 'a' now" in output
    assert output.count(" in the plan, ") == 2
    file.write_text(text.replace("/jobs", "/other"))
    assert deploy.main(["apply", "--env=bank.toml", "--poll-interval=0.01"]) == 0, "[training] is no part of a plan"


def test_the_command_that_plan_prints_works_as_printed_in_a_fresh_shell(
    command, cloud, artifact, tmp_path, monkeypatch
):
    """Flags set the address and a relative path of the artefact; the shell of the command has neither."""
    for name in ("COUNTERSIGN_API_ENDPOINT", "COUNTERSIGN_ANONYMOUS"):
        monkeypatch.delenv(name)
    (tmp_path / "model").symlink_to(artifact)
    output = command(
        "plan",
        *release_flags("model"),
        "--machine-type=n1-standard-2",
        "--api-endpoint",
        cloud.url,
        "--anonymous",
        "--out=my plans/first.json",
    )
    (line,) = [line.strip() for line in output.splitlines() if "python -m deploy apply" in line]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    shell = subprocess.run(
        ["sh", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert shell.returncode == 0, shell.stdout + shell.stderr
    assert "6 steps done" in shell.stdout
    (model,) = cloud.world.resources[ENDPOINT].deployed_models
    assert model.dedicated_resources.machine_spec.machine_type == "n1-standard-2"
    assert "anonymous" not in (tmp_path / "my plans" / "first.json").read_text()


def test_a_plan_is_data_that_other_programs_can_read_and_a_damaged_plan_is_an_error(command, cloud, artifact, tmp_path):
    command("plan", *release_flags(artifact), f"--out={tmp_path / 'plan.json'}")
    content = json.loads((tmp_path / "plan.json").read_text())
    assert [step["step"] for step in content["steps"]][:2] == ["StoreArtifact", "RegisterVersion"]
    assert "environment: 'production' in the plan, 'staging' now" in command(
        "apply", "--env=staging", f"--plan={tmp_path / 'plan.json'}", status=1
    )
    (tmp_path / "plan.json").write_text('{"format": "countersign-plan/2"}')
    assert "has the format 'countersign-plan/2'" in command("apply", f"--plan={tmp_path / 'plan.json'}", status=1)
    (tmp_path / "plan.json").write_text("{")
    assert "is no plan" in command("apply", *release_flags(artifact), f"--plan={tmp_path / 'plan.json'}", status=1)


def test_a_plan_shows_steps_reasons_and_cost(command, cloud, artifact):
    command("apply", *release_flags(artifact), "--yes")
    output = command("plan", *release_flags(artifact, SECOND))
    assert "not needed: store artefact" in output
    assert "cost: about $" in output
    output = command("plan", *release_flags(artifact), "--machine-type", "c9-mega-2")
    assert "cost: unknown; no price of c9-mega-2" in output


def test_the_gate_refuses_a_worse_candidate_with_the_reason(command, cloud, artifact, copy_artifact):
    command("apply", *release_flags(artifact), "--yes")
    worse = copy_artifact("worse", error=99.0)
    command("apply", *release_flags(worse, SECOND), "--yes")
    assert percentages(cloud) == [10, 90]
    for output in (command("promote", status=1), command("gate", *release_flags(worse, SECOND), status=1)):
        assert "not promoted:" in output
        assert "error is 99.00 %" in output
    assert percentages(cloud) == [10, 90], "nothing was changed"


def test_a_version_that_is_not_deployed_cannot_be_promoted(command, cloud, artifact):
    assert "no version has the alias 'challenger'" in command("promote", status=1)
    command("apply", *release_flags(artifact), "--yes")
    assert "is not deployed" in command("promote", *release_flags(artifact, SECOND), status=1)


def test_a_serving_version_without_its_alias_is_an_incumbent_too(command, cloud, artifact, copy_artifact):
    """A removed alias, or a crash between two calls, does not disable the gate."""
    command("apply", *release_flags(artifact), "--yes")
    cloud.world.models["projects/my-project/locations/us-central1/models/countersign"][0].version_aliases.remove(
        "champion"
    )
    output = command(
        "apply",
        *release_flags(copy_artifact("worse", error=99.0), SECOND),
        "--traffic-percentage=100",
        "--yes",
        status=1,
    )
    assert "error is 99.00 %" in output
    assert percentages(cloud) == [100]


def test_a_plan_is_not_applied_to_another_endpoint(command, cloud, artifact):
    command("plan", *release_flags(artifact))
    output = command("apply", *release_flags(artifact), "--endpoint-id=elsewhere", status=1)
    assert "[endpoint] endpoint_id: 'countersign' in the plan, 'elsewhere' now" in output


def test_credentials_are_not_sent_in_the_clear(command, monkeypatch):
    monkeypatch.delenv("COUNTERSIGN_ANONYMOUS", raising=False)
    assert "in the clear" in command("status", "--api-endpoint=http://127.0.0.1:9", status=1)


def test_a_rollback_ends_a_canary_or_returns_to_the_previous_version(command, cloud, artifact):
    assert "there is no endpoint to roll back" in command("rollback", status=1)
    command("apply", *release_flags(artifact), "--yes")
    assert "no version to roll back to" in command("rollback", status=1)
    command("apply", *release_flags(artifact, SECOND), "--yes")
    command("rollback")
    assert percentages(cloud) == [100]
    (model,) = cloud.world.resources[ENDPOINT].deployed_models
    assert model.model_version_id == "1", "the canary is gone, the champion has everything"


def test_the_gate_says_whether_the_candidate_itself_serves_or_no_version_does(command, cloud, artifact):
    assert "no version serves yet" in command("gate", *release_flags(artifact))
    command("apply", *release_flags(artifact), "--yes")
    for output in (command("gate", *release_flags(artifact)), command("promote")):
        assert "no version serves yet" not in output
        assert "it is version 1 (sha256:" in output
        assert "which serves already" in output


def test_the_first_plan_mentions_no_traffic_that_exists_already(command, cloud, artifact):
    output = command("plan", *release_flags(artifact))
    assert "already" not in output
    assert output.count("where nothing has traffic, the deployment takes all of it") == 1


def test_promote_moves_traffic_only_and_names_other_differences(command, cloud, artifact):
    command("apply", *release_flags(artifact), "--yes")
    command("apply", *release_flags(artifact, SECOND), "--yes")
    calls = len(cloud.world.calls)
    output = command("promote", "--machine-type=n1-standard-8", "--min-replicas=3", status=1)
    assert "version 2 (sha256:" in output
    assert "machine_type: 'n1-standard-4' deployed, 'n1-standard-8' declared" in output
    assert "min_replicas: 2 deployed, 3 declared" in output
    assert "run apply first" in output
    assert percentages(cloud) == [10, 90]
    assert not {"DeployModel", "MutateDeployedModel"} & set(cloud.world.calls[calls:])


def test_predict_without_files_shows_an_example(capsys):
    with pytest.raises(SystemExit) as raised:
        deploy.main(["predict", "--env", "production"])
    assert raised.value.code == 2
    output = capsys.readouterr().err
    assert "predict takes one or more image files" in output
    assert "python -m deploy predict --env production scan.png" in output


def test_for_a_quota_of_requests_no_other_machine_is_suggested(command, cloud, artifact):
    cloud.fail("UploadModel", "too many requests")
    output = command("apply", *release_flags(artifact), "--yes", status=1)
    assert "a quota is exhausted: Quota exceeded for quota metric 'Resource management (CRUD) requests'" in output
    assert "wait a minute and run this again" in output
    assert "another machine" not in output


def test_status_without_and_with_an_endpoint(command, cloud, artifact):
    output = command("status")
    assert "0 versions" in output
    assert "there is none" in output
    command("apply", *release_flags(artifact), "--yes")
    output = command("status")
    assert "champion" in output
    assert "100 % of the traffic, 2 of 2 to 8 x n1-standard-4 up" in output
    assert "does not answer: " in output
    assert "cost: about $320 to $1,279 a month" in output


def test_a_missing_endpoint_is_named(command, cloud, scans):
    image = str(next((scans / "text").iterdir()))
    assert "there is no endpoint 'countersign'" in command("predict", image, status=1)
    assert "there is no endpoint" in command("smoke", status=1)
    assert "nothing to do" in command("teardown")


def test_a_file_that_is_no_image_is_named(command, cloud, artifact, tmp_path):
    command("apply", *release_flags(artifact), "--yes")
    (tmp_path / "large.png").write_bytes(b"x" * 11_000_000)
    output = command("predict", str(tmp_path / "large.png"), status=1)
    assert "large.png" in output
    assert "xxx" not in output


def test_batch_reads_and_writes_cloud_storage_only(command, cloud, artifact, bucket, tmp_path):
    command("apply", *release_flags(artifact), "--yes")
    assert "gs:// paths" in command("batch", "scans", f"--output={bucket}/answers", status=1)
    assert "there is no file" in command("batch", f"{bucket}/a.jsonl", f"--output={bucket}/answers", status=1)
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "a.txt").write_text("x")
    storage.Workdir(tmp_path / "none", f"{bucket}/none").push()
    assert "there are no images below" in command("batch", f"{bucket}/none", f"--output={bucket}/answers", status=1)


def test_without_credentials_the_message_says_how_to_get_them(command, cloud, artifact, monkeypatch, tmp_path):
    monkeypatch.delenv("COUNTERSIGN_ANONYMOUS")
    monkeypatch.setenv("COUNTERSIGN_API_ENDPOINT", "https://127.0.0.1:9")
    for name, value in {
        "GOOGLE_APPLICATION_CREDENTIALS": "",
        "HOME": str(tmp_path),
        "NO_GCE_CHECK": "true",
        "CLOUDSDK_CONFIG": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    output = command("status", status=1)
    assert "gcloud auth application-default login" in output
    assert "--api-endpoint URL --anonymous" in output


def test_anonymous_needs_another_address(command, monkeypatch):
    monkeypatch.delenv("COUNTERSIGN_API_ENDPOINT", raising=False)
    assert "give --api-endpoint URL, too" in command("status", "--anonymous", status=1)
    assert "is no http:// or https://" in command("status", "--anonymous", "--api-endpoint=here", status=1)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("forbidden", "no permission: Permission 'aiplatform.endpoints.deploy' denied"),
        ("quota", "CustomModelServingCPUsPerProjectPerRegion; ask for more, or choose another machine"),
        ("operation fails", "Model server never became ready"),
    ],
)
def test_an_error_of_the_platform_is_shown_as_one_message(command, cloud, artifact, fault, message):
    cloud.fail("DeployModel", fault)
    output = command("apply", *release_flags(artifact), "--yes", status=1)
    assert message in output
    assert "http://" not in output
    assert "Traceback" not in output


def suggested_command(output: str) -> list[str]:
    """Return the flags of the command that a failure suggests."""
    (line,) = [line for line in output.splitlines() if line.startswith("run next: ")]
    assert output.endswith(line + "\n")
    words = shlex.split(line.removeprefix("run next: "))
    assert words[:3] == ["python", "-m", "deploy"]
    return words[3:]


@pytest.mark.parametrize("has_plan", [True, False])
def test_a_failure_suggests_the_command_that_continues(command, cloud, artifact, has_plan):
    if has_plan:
        command("plan", *release_flags(artifact))
    cloud.fail("DeployModel", "quota")
    suggested = suggested_command(
        command("apply", *release_flags(artifact), *([] if has_plan else ["--yes"]), status=1)
    )
    assert suggested[0] == "apply"
    assert deploy.main(suggested) == 0
    assert percentages(cloud) == [100]


def test_for_a_stale_plan_another_plan_is_suggested(command, cloud, artifact, tmp_path):
    file = str(tmp_path / "my plan.json")
    command("plan", *release_flags(artifact), "--out", file)
    command("apply", *release_flags(artifact), "--yes")
    cloud.world.resources[ENDPOINT].labels["team"] = "b"
    suggested = suggested_command(command("apply", *release_flags(artifact), "--plan", file, status=1))
    assert deploy.main(suggested) == 0
    command("apply", *release_flags(artifact), "--plan", file)
    assert "team" not in cloud.world.resources[ENDPOINT].labels


def test_an_operation_that_never_ends_is_an_error_after_the_timeout(executor, cloud, environment):
    import dataclasses

    from deploy import apply, commands, errors
    from deploy.plan import diff

    desired = commands.build_desired_state(environment, executor.declared_release.identity)
    plan = diff(desired, executor.read_live_state())
    executor.client.connection = dataclasses.replace(executor.client.connection, operation_timeout=0.1)
    cloud.world.polls_until_done = 10**9
    with pytest.raises(errors.ApplyStopped, match=r"(?s)is not done after 0 s; it may still end.*could not clean up"):
        apply.apply_plan(desired, plan, executor, lambda line: None)


@pytest.mark.parametrize("name", list(command_line.COMMANDS))
def test_every_command_has_help_and_takes_an_environment(name, capsys):
    with pytest.raises(SystemExit) as raised:
        deploy.main([name, "--help"])
    assert raised.value.code == 0
    assert "--env" in capsys.readouterr().out
    assert f"python -m deploy {name}" in command_line.DESCRIPTION
    assert command_line.COMMANDS[name].purpose in spec.REQUIRED_KEYS


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["aply"], "no command 'aply', did you mean 'apply'"),
        (["apply", "--env", "staging", "--machin", "x"], "unknown flag --machin"),
        (["status", "--env", "staging", "--poll-interval", "never"], "'never' is not a number"),
        (["status"], "required: --env"),
    ],
)
def test_a_typo_is_answered_with_the_nearest_name(arguments, message, capsys):
    with contextlib.suppress(SystemExit):
        assert deploy.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_without_arguments_the_commands_are_listed(capsys):
    assert deploy.main([]) == 2
    assert "python -m deploy promote" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("--machine=n1-standard-4", "--machine-type"),
        ("--no-log-container", "--container-logging"),
    ],
)
def test_old_flags_work_with_a_warning_that_names_the_new_one(command, cloud, old, new, caplog):
    command("status", old)
    assert f" is now {new}; the old name will be removed in the next release" in caplog.text


def test_the_old_flag_of_the_poll_interval_works_alone(caplog, capsys):
    parser = command_line.make_parser()
    assert parser.parse_args(["status", "--env", "staging", "--every", "3"]).poll_interval == 3
    assert "--every is now --poll-interval" in caplog.text
    with pytest.raises(SystemExit):
        parser.parse_args(["status", "--env", "staging", "--poll-interval", "9", "--every", "3"])
    assert "give --poll-interval alone" in capsys.readouterr().err


@pytest.fixture
def deploy_foreign(cloud):
    """``deploy_foreign(percentage)`` adds a foreign model to the endpoint of production."""

    def add_model(percentage: int) -> None:
        other = f"{PARENT}/models/other"
        with cloud.world.lock:
            endpoint = cloud.world.resources.setdefault(ENDPOINT, api.Endpoint.pb(api.Endpoint(name=ENDPOINT)))
            endpoint.dedicated_endpoint_enabled = True
            model = endpoint.deployed_models.add(id="77", model=other, model_version_id="1")
            model.dedicated_resources.machine_spec.machine_type = "n1-standard-2"
            split = dict(endpoint.traffic_split)
            split = rebalance(split, "77", percentage) if percentage else split
            endpoint.traffic_split.clear()
            endpoint.traffic_split.update(split)

    return add_model


def test_a_foreign_model_keeps_its_traffic_and_is_named(command, cloud, artifact, deploy_foreign):
    command("apply", *release_flags(artifact), "--yes")
    deploy_foreign(40)
    assert "  foreign model other@1 (id 77): 40 % of the traffic" in command("status")
    output = command("plan", *release_flags(artifact, SECOND))
    assert "not needed: undeploy foreign model other@1 (id 77): this tool did not deploy it; --remove-foreign" in output
    command("apply")
    assert percentages(cloud) == [10, 40, 50]
    output = command("promote", status=1)
    assert "foreign model other@1 (id 77) with 40 % of the traffic" in output
    assert "--remove-foreign" in output
    assert percentages(cloud) == [10, 40, 50], "nothing was changed"
    command("rollback")
    assert percentages(cloud) == [40, 60]


def test_a_foreign_model_is_removed_only_with_permission(command, cloud, artifact, deploy_foreign):
    deploy_foreign(100)
    output = command("plan", *release_flags(artifact), status=1)
    assert "foreign model other@1 (id 77) with 100 % of the traffic" in output
    assert "can have 0 %, not 10 %" in output
    assert "undeploy foreign" not in command("plan", *release_flags(artifact), "--remove-foreign"), "it has 90 % still"
    command("apply")
    assert percentages(cloud) == [10, 90]
    output = command("apply", *release_flags(artifact), "--traffic-percentage=100", "--remove-foreign", "--yes")
    assert "undeploy foreign model other@1 (id 77)" in output
    assert percentages(cloud) == [100]


def test_a_teardown_that_would_remove_a_foreign_model_is_refused_first(command, cloud, artifact, deploy_foreign):
    command("apply", *release_flags(artifact), "--yes")
    deploy_foreign(0)
    output = command("teardown", "--confirm=countersign", status=1)
    assert "foreign model other@1 (id 77)" in output
    assert ENDPOINT in cloud.world.resources
    output = command("teardown", "--remove-foreign", status=1)
    assert "undeploy foreign model other@1 (id 77)" in output, "shown before it is confirmed"
    command("teardown", "--confirm=countersign", "--remove-foreign")
    assert ENDPOINT not in cloud.world.resources
