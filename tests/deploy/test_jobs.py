"""Jobs are printed before they are submitted, follow the environment and the API, and their logs are followed."""

import dataclasses
import json
import threading

import pytest
import yaml
from google.cloud import aiplatform_v1 as api

from deploy import __main__ as deploy
from deploy import batch_prediction, job_submission, jobs, spec
from deploy.errors import CloudError
from tests.conftest import ROOT
from tests.deploy.conftest import make_client
from tests.loopback.machines import Machines
from tests.loopback.server import Loopback
from trainer.settings.config import parse_config

TRAINER = "us-central1-docker.pkg.dev/my-project/countersign/trainer:1"


@pytest.fixture
def environment():
    return spec.load("staging", {"training_image": TRAINER}, "train")


def with_training(environment, **training):
    return dataclasses.replace(environment, training=dataclasses.replace(environment.training, **training))


def make_spec(environment, **training):
    return jobs.make_custom_job(with_training(environment, **training), "one", "abc")["jobSpec"]


def test_the_printed_job_has_the_form_that_gcloud_accepts(environment):
    printed = yaml.safe_load(jobs.render(jobs.make_custom_job(environment, "one", "abc")))
    form = yaml.safe_load((ROOT / "deploy" / "jobs" / "custom_job.yaml").read_text())
    assert set(form) <= set(printed["jobSpec"])
    assert printed["labels"] == {
        "commit": "abc",
        "environment": "staging",
        "managed-by": "countersign",
        "product": "countersign",
    }
    (pool,) = printed["jobSpec"]["workerPoolSpecs"]
    assert pool["containerSpec"]["imageUri"] == TRAINER
    assert "--job-dir=gs://my-project-countersign/jobs/one" in pool["containerSpec"]["args"]
    assert printed["jobSpec"]["baseOutputDirectory"]["outputUriPrefix"] == "gs://my-project-countersign/jobs/one"
    assert printed["jobSpec"]["scheduling"]["strategy"] == "SPOT"


def test_gpus_workers_account_and_timeout_follow_the_environment(environment):
    job_spec = make_spec(
        environment,
        accelerator_type="NVIDIA_L4",
        accelerator_count=2,
        workers=4,
        spot=False,
        timeout_hours=1.5,
        training_service_account="trainer@my-project.iam.gserviceaccount.com",
    )
    chief, others = job_spec["workerPoolSpecs"]
    assert (chief["replicaCount"], others["replicaCount"]) == (1, 3)
    assert chief["machineSpec"] == others["machineSpec"]
    assert chief["machineSpec"]["acceleratorCount"] == 2
    assert job_spec["scheduling"] == {"timeout": "5400s", "strategy": "STANDARD", "restartJobOnWorkerRestart": True}
    assert job_spec["serviceAccount"].startswith("trainer@")


def test_jobs_by_deploy_and_by_gcloud_use_the_data_that_the_docs_name():
    data = "gs://my-project-countersign/data"
    for name in ("staging", "production"):
        (pool,) = jobs.make_custom_job(spec.load(name, {"training_image": TRAINER}, "train"), "one", "")["jobSpec"][
            "workerPoolSpecs"
        ]
        assert parse_config(pool["containerSpec"]["args"], {}).data.train_dir == (data,)
    for file in ("custom_job.yaml", "hp_tuning.yaml"):
        form = yaml.safe_load((jobs.JOBS_DIR / file).read_text())
        (pool,) = form.get("trialJobSpec", form)["workerPoolSpecs"]
        assert parse_config(pool["containerSpec"]["args"], {}).data.train_dir == (data,)
    page = (ROOT / "docs" / "vertex.md").read_text()
    assert f"gcloud storage rsync -r scans {data}\n" in page
    assert f"--train-dir={data}," in page
    assert data in (ROOT / "README.md").read_text()


def test_the_data_of_a_job_is_a_setting_that_a_flag_replaces(cloud, capsys):
    printed = yaml.safe_load(run(capsys, "--dry-run", "--train-dir=genuine=gs://bucket/a", "--train-dir=gs://bucket/b"))
    (pool,) = printed["jobSpec"]["workerPoolSpecs"]
    parsed = parse_config(pool["containerSpec"]["args"], {})
    assert parsed.data.train_dir == ("genuine=gs://bucket/a", "gs://bucket/b")
    assert "give --train-dir once" in run(capsys, "--dry-run", "--", "--train-dir=gs://bucket/c", status=1)
    with pytest.raises(SystemExit):
        run(capsys, "--dry-run", "--train-dir=scans")
    assert "'scans' is not a gs:// path" in capsys.readouterr().err


def test_an_experiment_is_a_flag_of_the_trainer(environment):
    (pool,) = make_spec(environment, experiment="signatures", tensorboard="projects/p/locations/r/tensorboards/1")[
        "workerPoolSpecs"
    ]
    parsed = parse_config(pool["containerSpec"]["args"], {})
    assert parsed.output.experiment == "projects/my-project/locations/us-central1/signatures/one"
    assert parsed.output.tensorboard == "projects/p/locations/r/tensorboards/1"
    assert "tensorboard" in make_spec(environment, tensorboard="projects/p/locations/r/tensorboards/1")


def test_a_gpu_that_the_api_does_not_have_is_refused_before_anything_is_submitted(environment):
    with pytest.raises(CloudError, match="NVIDIA_ABACUS"):
        jobs.render(
            jobs.make_custom_job(
                with_training(environment, accelerator_type="NVIDIA_ABACUS", accelerator_count=1), "one", ""
            )
        )


@pytest.mark.parametrize("name", ["custom_job.yaml", "hp_tuning.yaml"])
def test_the_files_have_only_fields_of_the_api(name):
    content = yaml.safe_load((ROOT / "deploy" / "jobs" / name).read_text())
    assert jobs.render({"displayName": "x", **(content if "studySpec" in content else {"jobSpec": content})})


def test_the_parameters_of_a_study_are_flags_of_the_trainer(environment):
    study = jobs.make_tuning_job(environment, "one", "abc", jobs.JOBS_DIR / "hp_tuning.yaml")
    flags = []
    for parameter in study["studySpec"]["parameters"]:
        flags.append(f"--{parameter['parameterId']}={16.0 if 'doubleValueSpec' not in parameter else 0.001}")
    assert parse_config(flags, {}).training.epochs == 16
    assert study["studySpec"]["metrics"][0]["metricId"] == "val_loss"


@pytest.mark.parametrize("text", ["- a list", "{", "studySpec: {}\n"])
def test_a_file_that_is_no_study_is_an_error_that_names_the_file(environment, tmp_path, text):
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"study\.yaml"):
        jobs.make_tuning_job(environment, "one", "abc", tmp_path / "study.yaml")


def run(capsys, *flags, status=0):
    exit_status = deploy.main(
        ["train", "--env", "staging", "--training-image", TRAINER, "--poll-interval", "0.05", *flags]
    )
    captured = capsys.readouterr()
    assert exit_status == status, captured.out + captured.err
    return captured.out + captured.err


def test_a_dry_run_prints_the_job_and_submits_nothing(cloud, capsys):
    output = run(capsys, "--dry-run", "--data-version", "v3", "--commit", "abc")
    assert yaml.safe_load(output)["labels"]["data-version"] == "v3"
    assert cloud.world.calls == []


def test_a_typo_in_the_flags_of_the_trainer_starts_no_machine(cloud, capsys):
    with pytest.raises(SystemExit):
        run(capsys, "--", "--epoch", "3")
    assert "unknown flag --epoch" in capsys.readouterr().err
    assert cloud.world.calls == []


def test_a_job_that_fails_fails_the_command_with_the_reason_of_the_platform(cloud, capsys):
    class Failing:
        def run(self, world, job, version):
            world.log(job.name.rpartition("/")[2], "no folder, zip or CSV file '/gcs/nowhere'")
            world.set_job_state(job.name, "FAILED", "The replica workerpool0-0 exited with a non-zero status of 1.")

        def close(self):
            pass

    cloud.world.machines = Failing()
    output = run(capsys, "--train-dir=/gcs/nowhere", status=1)
    assert "no folder, zip or CSV file '/gcs/nowhere'" in output, "its log was followed"
    assert "exited with a non-zero status of 1" in output


def test_a_log_that_cannot_be_read_is_reported_once_and_the_job_is_followed(cloud, environment):
    name = jobs.submit(make_client(cloud), jobs.make_custom_job(environment, "one", "abc"))
    cloud.fail("logs", "forbidden", times=9)
    lines: list[str] = []
    cloud.world.set_job_state(name, "RUNNING")
    timer = threading.Timer(0.3, cloud.world.set_job_state, (name, "SUCCEEDED"))
    timer.start()
    jobs.follow(make_client(cloud), name, lines.append)
    timer.join()
    assert sum("its log cannot be read (no permission" in line for line in lines) == 1
    assert lines[-1].endswith("succeeded")


def make_batch_job(environment):
    return {
        "displayName": "one",
        "model": "projects/my-project/locations/us-central1/models/countersign@1",
        "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": ["gs://b/a.jsonl"]}},
        "outputConfig": {"predictionsFormat": "jsonl", "gcsDestination": {"outputUriPrefix": "gs://b/out"}},
    }


def make_study(environment):
    return jobs.make_tuning_job(environment, "one", "abc", jobs.JOBS_DIR / "hp_tuning.yaml")


SUBMISSIONS = {  # by method of the API: the function that submits a job, and the one that describes it
    "CreateCustomJob": (jobs.submit, lambda environment: jobs.make_custom_job(environment, "one", "abc")),
    "CreateHyperparameterTuningJob": (jobs.submit, make_study),
    "CreateBatchPredictionJob": (batch_prediction.submit, make_batch_job),
}


@pytest.fixture(params=SUBMISSIONS)
def submission(request, cloud, environment):
    """A method of the API, and a function that submits a job of its kind with the name "one"."""
    submit, make_job = SUBMISSIONS[request.param]
    version = api.Model(name=make_job(environment).get("model", "m").partition("@")[0], version_id="1")
    cloud.world.models[version.name] = [type(version).pb(version)]
    return request.param, lambda: submit(make_client(cloud), make_job(environment))


def job_names(cloud):
    return [name for name in cloud.world.resources if "Jobs/" in name]


@pytest.mark.parametrize("fault", ["lost", "lost 503"])
def test_a_job_whose_reply_was_lost_is_looked_up_by_its_name_and_not_created_twice(cloud, submission, capsys, fault):
    call, submit = submission
    cloud.world.set_job_state(submit(), "SUCCEEDED")  # an earlier one of the same name, which has ended
    cloud.fail(call, fault)
    name = submit()
    assert job_names(cloud)[1:] == [name]
    assert f"the job was created, as its name shows: {name}" in capsys.readouterr().out


@pytest.mark.parametrize("is_forbidden", [True, False])
def test_for_a_job_that_may_run_the_error_says_how_to_look_it_up(cloud, submission, is_forbidden):
    call, submit = submission
    cloud.fail(call, "dropped")
    if is_forbidden:
        cloud.fail(call.replace("Create", "List") + "s", "forbidden", skip=1)
    with pytest.raises(job_submission.JobMayRun, match="it may run, and bill") as error:
        submit()
    message = str(error.value)
    assert ("it cannot be looked up (no permission" if is_forbidden else "no job of its name is listed yet") in message
    assert "https://console.cloud.google.com/vertex-ai/" in message
    command = "--project=my-project --region=us-central1 --filter=displayName=one"
    assert (command in message) == (call != "CreateBatchPredictionJob"), "gcloud has no command for batch prediction"
    assert job_names(cloud) == []
    assert cloud.world.calls.count(call) == 1


@pytest.mark.parametrize(("fault", "message"), [("forbidden", "no permission"), ("quota", "quota")])
def test_a_job_that_was_refused_is_not_looked_up(cloud, submission, fault, message):
    call, submit = submission
    cloud.fail(call, fault)
    with pytest.raises(CloudError, match=message) as error:
        submit()
    assert "bill" not in str(error.value)
    assert cloud.world.calls[-1] == call


def test_the_name_of_a_job_under_way_is_refused(cloud, submission):
    _, submit = submission
    name = submit()
    with pytest.raises(job_submission.JobNameTaken, match=f"{name}; choose another --name"):
        submit()
    assert job_names(cloud) == [name]


def test_the_best_trial_has_the_lowest_or_the_highest_value():
    for goal, expected in (("MINIMIZE", "2"), ("MAXIMIZE", "1")):
        job = api.HyperparameterTuningJob(study_spec={"metrics": [{"metric_id": "x", "goal": goal}]})
        for id, value in (("1", 0.5), ("2", 0.25)):
            job.trials.append({"id": id, "final_measurement": {"metrics": [{"metric_id": "x", "value": value}]}})
        job.trials.append({"id": "3"})
        assert jobs.best_trial(job).id == expected


TRIAL = """
from trainer.settings.config import parse_config
from trainer.vertex import hypertune
for epoch in range(parse_config().training.epochs):
    hypertune.report_metrics({"val_loss": 0.5 - epoch / 10}, epoch + 1)
"""


def test_a_study_passes_values_as_flags_and_reads_the_reported_metrics(bucket, capsys, tmp_path, monkeypatch):
    """With the flags and the reports of the trainer; ``test_task.py`` tests that training calls them."""
    study = {
        "maxTrialCount": 2,
        "parallelTrialCount": 1,
        "studySpec": {
            "metrics": [{"metricId": "val_loss", "goal": "MINIMIZE"}],
            "parameters": [
                {"parameterId": "epochs", "integerValueSpec": {"minValue": 3, "maxValue": 3}},
                {"parameterId": "learning-rate", "doubleValueSpec": {"minValue": 0.001, "maxValue": 0.01}},
            ],
        },
    }
    (tmp_path / "study.yaml").write_text(json.dumps(study))
    with Loopback(Machines(trainer=["python", "-c", TRIAL])) as cloud:
        output = run(
            capsys,
            f"--api-endpoint={cloud.url}",
            "--anonymous",
            f"--output={bucket}/jobs",
            "--name=study",
            f"--tune={tmp_path / 'study.yaml'}",
        )
    assert "best trial: 1 (0.3; " in output
    assert f"artefact: {bucket}/jobs/study/1/model" in output
    (job,) = [job for name, job in cloud.world.resources.items() if "/hyperparameterTuningJobs/" in name]
    for trial in job.trials:
        values = [round(measurement.metrics[0].value, 3) for measurement in trial.measurements]
        assert values == [0.5, 0.4, 0.3], "a whole number came as 3.0"
