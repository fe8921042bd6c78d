"""Jobs: what is submitted is shown first, is what the environment says, and what the API has; logs are followed."""

import dataclasses
import json
import threading

import pytest
import yaml
from google.cloud import aiplatform_v1 as api

from deploy import __main__ as deploy
from deploy import batch, jobs, spec, submission
from deploy.vertex import CloudError
from tests.conftest import ROOT
from tests.deploy.conftest import vertex
from tests.loopback.machines import Machines
from tests.loopback.server import Loopback
from trainer.settings import config

TRAINER = "us-central1-docker.pkg.dev/my-project/countersign/trainer:1"


@pytest.fixture
def environment():
    return spec.load("staging", {"training_image": TRAINER}, "train")


def changed(environment, **training):
    return dataclasses.replace(environment, training=dataclasses.replace(environment.training, **training))


def specified(environment, **training):
    return jobs.custom(changed(environment, **training), "one", "abc")["jobSpec"]


def test_what_is_shown_is_the_job_in_the_form_that_gcloud_takes(environment):
    shown = yaml.safe_load(jobs.shown(jobs.custom(environment, "one", "abc")))
    form = yaml.safe_load((ROOT / "deploy" / "jobs" / "custom_job.yaml").read_text())
    assert set(form) <= set(shown["jobSpec"])
    assert shown["labels"] == {
        "commit": "abc", "environment": "staging", "managed-by": "countersign", "product": "countersign",
    }  # fmt: skip
    (pool,) = shown["jobSpec"]["workerPoolSpecs"]
    assert pool["containerSpec"]["imageUri"] == TRAINER
    assert "--job-dir=gs://my-project-countersign/jobs/one" in pool["containerSpec"]["args"]
    assert shown["jobSpec"]["baseOutputDirectory"]["outputUriPrefix"] == "gs://my-project-countersign/jobs/one"
    assert shown["jobSpec"]["scheduling"]["strategy"] == "SPOT"


def test_gpus_workers_account_and_timeout_are_what_the_environment_says(environment):
    found = specified(
        environment, accelerator="NVIDIA_L4", accelerators=2, workers=4, spot=False, timeout_hours=1.5,
        training_account="trainer@my-project.iam.gserviceaccount.com",
    )  # fmt: skip
    chief, others = found["workerPoolSpecs"]
    assert (chief["replicaCount"], others["replicaCount"]) == (1, 3)
    assert chief["machineSpec"] == others["machineSpec"]
    assert chief["machineSpec"]["acceleratorCount"] == 2
    assert found["scheduling"] == {"timeout": "5400s", "strategy": "STANDARD", "restartJobOnWorkerRestart": True}
    assert found["serviceAccount"].startswith("trainer@")


def test_jobs_by_us_and_by_gcloud_learn_from_one_place_that_the_docs_name_too():
    place = "gs://my-project-countersign/data"
    for name in ("staging", "production"):
        (pool,) = jobs.custom(spec.load(name, {"training_image": TRAINER}, "train"), "one", "")["jobSpec"][
            "workerPoolSpecs"
        ]
        assert config.from_command_line(pool["containerSpec"]["args"], {}).data.train_dir == (place,)
    for file in ("custom_job.yaml", "hp_tuning.yaml"):
        form = yaml.safe_load((jobs.FOLDER / file).read_text())
        (pool,) = form.get("trialJobSpec", form)["workerPoolSpecs"]
        assert config.from_command_line(pool["containerSpec"]["args"], {}).data.train_dir == (place,)
    page = (ROOT / "docs" / "vertex.md").read_text()
    assert f"gcloud storage rsync -r scans {place}\n" in page
    assert f"--train-dir={place}," in page
    assert place in (ROOT / "README.md").read_text()


def test_the_data_of_a_job_is_a_setting_that_a_flag_replaces(cloud, capsys):
    shown = yaml.safe_load(run(capsys, "--dry-run", "--train-dir=genuine=gs://bucket/a", "--train-dir=gs://bucket/b"))
    (pool,) = shown["jobSpec"]["workerPoolSpecs"]
    given = config.from_command_line(pool["containerSpec"]["args"], {})
    assert given.data.train_dir == ("genuine=gs://bucket/a", "gs://bucket/b")
    assert "give --train-dir once" in run(capsys, "--dry-run", "--", "--train-dir=gs://bucket/c", status=1)
    with pytest.raises(SystemExit):
        run(capsys, "--dry-run", "--train-dir=scans")
    assert "'scans' is not a gs:// path" in capsys.readouterr().err


def test_an_experiment_is_a_flag_of_the_trainer(environment):
    (pool,) = specified(environment, experiment="hands", tensorboard="projects/p/locations/r/tensorboards/1")[
        "workerPoolSpecs"
    ]
    given = config.from_command_line(pool["containerSpec"]["args"], {})
    assert given.output.experiment == "projects/my-project/locations/us-central1/hands/one"
    assert given.output.tensorboard == "projects/p/locations/r/tensorboards/1"
    assert "tensorboard" in specified(environment, tensorboard="projects/p/locations/r/tensorboards/1")


def test_a_gpu_that_the_api_does_not_have_is_refused_before_anything_is_submitted(environment):
    with pytest.raises(CloudError, match="NVIDIA_ABACUS"):
        jobs.shown(jobs.custom(changed(environment, accelerator="NVIDIA_ABACUS", accelerators=1), "one", ""))


@pytest.mark.parametrize("name", ["custom_job.yaml", "hp_tuning.yaml"])
def test_the_files_hold_only_what_the_api_has(name):
    found = yaml.safe_load((ROOT / "deploy" / "jobs" / name).read_text())
    described = {"displayName": "x", **(found if "studySpec" in found else {"jobSpec": found})}
    assert jobs.shown(described)


def test_a_studys_parameters_are_flags_of_the_trainer_and_its_metric_is_watched(environment):
    study = jobs.tuning(environment, "one", "abc", jobs.FOLDER / "hp_tuning.yaml")
    flags = []
    for parameter in study["studySpec"]["parameters"]:
        flags.append(f"--{parameter['parameterId']}={16.0 if 'doubleValueSpec' not in parameter else 0.001}")
    assert config.from_command_line(flags, {}).training.epochs == 16
    assert study["studySpec"]["metrics"][0]["metricId"] == "val_loss"


@pytest.mark.parametrize("text", ["- a list", "{", "studySpec: {}\n"])
def test_a_study_that_is_none_is_an_error_that_names_the_file(environment, tmp_path, text):
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"study\.yaml"):
        jobs.tuning(environment, "one", "abc", tmp_path / "study.yaml")


def run(capsys, *flags, status=0):
    found = deploy.main(["train", "--env", "staging", "--training-image", TRAINER, "--every", "0.05", *flags])
    said = capsys.readouterr()
    assert found == status, said.out + said.err
    return said.out + said.err


def test_a_dry_run_shows_and_submits_nothing(cloud, capsys):
    said = run(capsys, "--dry-run", "--data-version", "v3", "--commit", "abc")
    assert yaml.safe_load(said)["labels"]["data-version"] == "v3"
    assert cloud.world.calls == []


def test_a_typo_in_the_trainers_flags_costs_no_machine(cloud, capsys):
    with pytest.raises(SystemExit):
        run(capsys, "--", "--epoch", "3")
    assert "unknown flag --epoch" in capsys.readouterr().err
    assert cloud.world.calls == []


def test_a_job_that_fails_fails_the_command_with_the_platforms_reason(cloud, capsys):
    class Failing:
        def run(self, world, job, version):
            world.log(job.name.rpartition("/")[2], "no folder, zip or CSV file '/gcs/nowhere'")
            world.job(job.name, "FAILED", "The replica workerpool0-0 exited with a non-zero status of 1.")

        def close(self):
            pass

    cloud.world.machines = Failing()
    said = run(capsys, "--train-dir=/gcs/nowhere", status=1)
    assert "no folder, zip or CSV file '/gcs/nowhere'" in said, "its log was followed"
    assert "exited with a non-zero status of 1" in said


def test_a_log_that_cannot_be_read_is_said_once_and_the_job_is_followed(cloud, environment):
    name = jobs.submit(vertex(cloud), jobs.custom(environment, "one", "abc"))
    cloud.fail("logs", "forbidden", times=9)
    said: list[str] = []
    cloud.world.job(name, "RUNNING")
    ended = threading.Timer(0.3, cloud.world.job, (name, "SUCCEEDED"))
    ended.start()
    jobs.follow(vertex(cloud), name, 0.05, said.append)
    ended.join()
    assert sum("its log cannot be read (no permission" in line for line in said) == 1
    assert said[-1].endswith("succeeded")


def batched(environment):
    return {
        "displayName": "one", "model": "projects/my-project/locations/us-central1/models/countersign@1",
        "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": ["gs://b/a.jsonl"]}},
        "outputConfig": {"predictionsFormat": "jsonl", "gcsDestination": {"outputUriPrefix": "gs://b/out"}},
    }  # fmt: skip


def studied(environment):
    return jobs.tuning(environment, "one", "abc", jobs.FOLDER / "hp_tuning.yaml")


MADE = {  # by the API's method: how a job of the kind is submitted, by its description
    "CreateCustomJob": (jobs.submit, lambda environment: jobs.custom(environment, "one", "abc")),
    "CreateHyperparameterTuningJob": (jobs.submit, studied),
    "CreateBatchPredictionJob": (batch.submit, batched),
}


@pytest.fixture(params=MADE)
def submitting(request, cloud, environment):
    """The API's method, and ``submit()`` of a job of its kind, named one."""
    submit, described = MADE[request.param]
    version = api.Model(name=described(environment).get("model", "m").partition("@")[0], version_id="1")
    cloud.world.models[version.name] = [type(version).pb(version)]
    return request.param, lambda: submit(vertex(cloud), described(environment))


def of_jobs(cloud):
    return [name for name in cloud.world.resources if "Jobs/" in name]


@pytest.mark.parametrize("fault", ["lost", "lost 503"])
def test_a_job_whose_reply_was_lost_is_found_by_its_name_and_not_made_twice(cloud, submitting, capsys, fault):
    call, submit = submitting
    cloud.world.job(submit(), "SUCCEEDED")  # an earlier one of the same name, which has ended
    cloud.fail(call, fault)
    name = submit()
    assert of_jobs(cloud)[1:] == [name]
    assert f"the job was created, as its name shows: {name}" in capsys.readouterr().out


@pytest.mark.parametrize("unlisted", [True, False])
def test_a_job_that_cannot_be_found_may_run_and_the_error_says_how_to_see_it(cloud, submitting, unlisted):
    call, submit = submitting
    cloud.fail(call, "dropped")
    if unlisted:
        cloud.fail(call.replace("Create", "List") + "s", "forbidden", skip=1)
    with pytest.raises(submission.MayRun, match="it may run, and bill") as error:
        submit()
    said = str(error.value)
    assert ("it cannot be looked up (no permission" if unlisted else "no job of its name is listed yet") in said
    assert "https://console.cloud.google.com/vertex-ai/" in said
    command = "--project=my-project --region=us-central1 --filter=displayName=one"
    assert (command in said) == (call != "CreateBatchPredictionJob"), "gcloud has no command for batch prediction"
    assert of_jobs(cloud) == []
    assert cloud.world.calls.count(call) == 1


@pytest.mark.parametrize(("fault", "said"), [("forbidden", "no permission"), ("quota", "quota")])
def test_a_job_that_was_refused_does_not_run_and_is_not_looked_for(cloud, submitting, fault, said):
    call, submit = submitting
    cloud.fail(call, fault)
    with pytest.raises(CloudError, match=said) as error:
        submit()
    assert "bill" not in str(error.value)
    assert cloud.world.calls[-1] == call


def test_a_name_that_a_job_under_way_has_is_not_given_twice(cloud, submitting):
    _, submit = submitting
    name = submit()
    with pytest.raises(submission.NameTaken, match=f"{name}; choose another --name"):
        submit()
    assert of_jobs(cloud) == [name]


def test_the_best_trial_is_that_of_the_lowest_or_highest_number():
    for goal, expected in (("MINIMIZE", "2"), ("MAXIMIZE", "1")):
        job = api.HyperparameterTuningJob(study_spec={"metrics": [{"metric_id": "x", "goal": goal}]})
        for id, value in (("1", 0.5), ("2", 0.25)):
            job.trials.append({"id": id, "final_measurement": {"metrics": [{"metric_id": "x", "value": value}]}})
        job.trials.append({"id": "3"})
        assert jobs.best(job).id == expected


STUDIED = """
from trainer.vertex import hypertune as tuning; from trainer.settings import config
for epoch in range(config.from_command_line().training.epochs):
    tuning.report({"val_loss": 0.5 - epoch / 10}, epoch + 1)
"""


def test_a_study_runs_its_trial_with_the_values_as_flags_and_reads_its_numbers(bucket, capsys, tmp_path, monkeypatch):
    """With the trainer's own flags and report; that training calls them, ``test_task.py`` sees."""
    study = {
        "maxTrialCount": 2, "parallelTrialCount": 1,
        "studySpec": {
            "metrics": [{"metricId": "val_loss", "goal": "MINIMIZE"}],
            "parameters": [
                {"parameterId": "epochs", "integerValueSpec": {"minValue": 3, "maxValue": 3}},
                {"parameterId": "learning-rate", "doubleValueSpec": {"minValue": 0.001, "maxValue": 0.01}},
            ],
        },
    }  # fmt: skip
    (tmp_path / "study.yaml").write_text(json.dumps(study))
    with Loopback(Machines(trainer=["python", "-c", STUDIED])) as cloud:
        said = run(
            capsys, f"--api-endpoint={cloud.url}", "--anonymous", f"--output={bucket}/jobs", "--name=study",
            f"--tune={tmp_path / 'study.yaml'}",
        )  # fmt: skip
    assert "best trial: 1 (0.3; " in said
    assert f"artefact: {bucket}/jobs/study/1/model" in said
    (job,) = [of for name, of in cloud.world.resources.items() if "/hyperparameterTuningJobs/" in name]
    for trial in job.trials:
        measured = [round(one.metrics[0].value, 3) for one in trial.measurements]
        assert measured == [0.5, 0.4, 0.3], "a whole number came as 3.0"
