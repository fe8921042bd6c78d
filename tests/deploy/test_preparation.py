"""Data is prepared on Dataflow by one job on Vertex AI: its fields, its cost, what is refused, and that it works."""

import json
import time
import types

import pytest
import yaml
from apache_beam.runners.dataflow import dataflow_runner
from google.cloud import aiplatform_v1 as api
from google.cloud.storage import Client

from deploy import __main__ as deploy
from deploy import jobs, measurements, preparation_cost, preparation_job, spec
from deploy.machine_types import parse_machine_type
from deploy.preparation_cost import ImageCount
from tests.conftest import ROOT
from tests.deploy.conftest import BUCKET
from tests.loopback.dataflow import dataflow_service
from trainer import prepare
from trainer.beam.options import make_options
from trainer.settings.config import parse_config
from trainer.storage import remote_files

IMAGE = "us-central1-docker.pkg.dev/my-project/countersign/preparation:1"
ACCOUNT = "preparation@my-project.iam.gserviceaccount.com"


@pytest.fixture
def load():
    """``load(**settings)`` reads staging with these settings."""
    return lambda **settings: spec.load("staging", {"preparation_image": IMAGE, **settings}, "prepare")


def run(capsys, *flags, status=0):
    flags = ["--preparation-image", IMAGE, "--poll-interval", "0.05", *flags]
    exit_status = deploy.main(["prepare", "--env", "staging", *flags])
    captured = capsys.readouterr()
    assert exit_status == status, captured.out + captured.err
    return captured.out + captured.err


def read_custom_jobs(cloud):
    return [job for name, job in cloud.world.resources.items() if "/customJobs/" in name]


def test_the_submitted_job_follows_the_environment_field_by_field(cloud, capsys):
    flags = ["--driver-machine-type=n1-highmem-2", "--worker-machine-type=n2-standard-8", "--max-workers=12"]
    flags += ["--worker-disk-gb=80", f"--preparation-service-account={ACCOUNT}", "--timeout-hours=1.5"]
    flags += ["--train-dir=genuine=gs://bank/a", "--beam-options=--subnetwork=regions/r/subnetworks/s"]
    flags += ["--name=one", "--commit=abc", "--images=5", "--no-follow", "--", "--seed=3"]
    assert "submitted: projects/my-project/locations/us-central1/customJobs/" in run(capsys, *flags)
    (job,) = read_custom_jobs(cloud)
    assert job.display_name == "one"
    assert job.labels == {
        "commit": "abc",
        "environment": "staging",
        "managed-by": "countersign",
        "product": "countersign",
    }
    (pool,) = job.job_spec.worker_pool_specs
    assert (pool.replica_count, pool.machine_spec.machine_type) == (1, "n1-highmem-2")
    assert pool.container_spec.image_uri == IMAGE
    assert pool.container_spec.command == ["python", "-m", "trainer.prepare"]
    assert pool.container_spec.args == [
        "--problem=signature_vs_text",
        "--seed=3",
        "--train-dir=genuine=gs://bank/a",
        "--job-dir=gs://my-project-countersign/jobs/one",
        "--runner=dataflow",
        "--",
        "--project=my-project",
        "--region=us-central1",
        f"--sdk_container_image={IMAGE}",
        "--machine_type=n2-standard-8",
        "--disk_size_gb=80",
        "--max_num_workers=12",
        "--autoscaling_algorithm=THROUGHPUT_BASED",
        f"--service_account_email={ACCOUNT}",
        "--labels=product=countersign",
        "--labels=managed-by=countersign",
        "--labels=environment=staging",
        "--subnetwork=regions/r/subnetworks/s",
    ]
    assert job.job_spec.service_account == ACCOUNT
    assert job.job_spec.scheduling.timeout.seconds == 5400
    strategy = api.Scheduling.Strategy(job.job_spec.scheduling.strategy)
    assert strategy.name == "STANDARD", "a driver that is taken away would cancel the job of Dataflow"
    assert job.job_spec.base_output_directory.output_uri_prefix == "gs://my-project-countersign/jobs/one"


def test_a_training_of_the_same_name_has_the_same_folder_and_settings(load):
    """So it continues the run, as ``trainer.task`` with the same flags does."""
    environment = load(training_image="trainer")
    preparation, training = (
        make(environment, "one", "")["jobSpec"] for make in (preparation_job.make_job, jobs.make_custom_job)
    )
    args = [spec["workerPoolSpecs"][0]["containerSpec"]["args"] for spec in (preparation, training)]
    assert args[0][: args[0].index("--runner=dataflow")] == args[1]
    assert preparation["baseOutputDirectory"] == training["baseOutputDirectory"]


def test_the_form_has_only_fields_of_the_api_and_flags_of_the_trainer():
    form = yaml.safe_load((jobs.JOBS_DIR / preparation_job.FORM).read_text())
    assert jobs.render({"displayName": "x", "jobSpec": form})
    args = form["workerPoolSpecs"][0]["containerSpec"]["args"]
    end = args.index("--runner=dataflow")
    config = parse_config(args[:end], {})
    assert make_options("dataflow", args[end + 2 :], config.output.job_dir)


def test_beam_has_every_option_of_the_job(load):
    settings = load(preparation_service_account=ACCOUNT, max_workers=7)
    args = preparation_job.make_job(settings, "one", "")["jobSpec"]["workerPoolSpecs"][0]["containerSpec"]["args"]
    options = make_options("dataflow", args[args.index("--") + 1 :], "gs://b/one").get_all_options(drop_default=True)
    expected = {"project", "region", "sdk_container_image", "machine_type", "disk_size_gb", "max_num_workers"}
    assert expected | {"autoscaling_algorithm", "service_account_email", "labels"} <= set(options)
    assert options["max_num_workers"] == 7


def test_a_dry_run_prints_job_and_cost_and_submits_nothing(cloud, capsys):
    printed = run(capsys, "--dry-run", "--images=20400", "--name=one")
    job, _, estimate = printed.partition("images: ")
    assert yaml.safe_load(job)["displayName"] == "one"
    assert estimate.startswith(
        "20,400\nwork: 0.1 core-hours, at least 0.4 minutes on 4 x n1-standard-4 (17 ms of a core"
    )
    assert "cost: about $0.01; workers 0.01, shuffle 0.01, driver 0.00; list prices of 20" in estimate
    assert cloud.world.calls == []


def test_the_cost_is_that_of_a_calculation_by_hand(load):
    cost = preparation_cost.estimate(load(max_workers=40), ImageCount(100_000_000))
    core_hours = 100e6 * 0.017 / 3600
    assert cost.work.core_hours == pytest.approx(core_hours)
    assert cost.work.hours == pytest.approx(core_hours / 160)
    workers = core_hours * (0.056 + 3.75 * 0.003557 + 50 / 4 * 0.000054)
    shuffle = 2 * 100e6 * 12e3 / 1e9 * 0.011
    assert cost.dollars == pytest.approx(workers + shuffle + core_hours / 160 * 0.2185)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"region": "europe-west4"}, "cost: unknown; no price of Dataflow in europe-west4 in the table of 20"),
        (
            {"driver_machine_type": "n1-ultramem-40"},
            "cost: unknown; no price of n1-ultramem-40 for a job in us-central1",
        ),
        ({"worker_machine_type": "e2-medium-x"}, "cost: unknown; cores of a e2-medium-x are not known"),
    ],
)
def test_where_a_price_is_missing_the_cost_is_unknown_and_the_work_is_not(load, settings, message):
    estimate = str(preparation_cost.estimate(load(**settings), ImageCount(1000)))
    assert message in estimate
    assert "core-hours" in estimate


def test_measurements_and_prices_say_when_and_where():
    measured = measurements.read("preparation")
    assert {"date", "machine", "how"} <= set(measured)
    assert measured["core_milliseconds_per_image"] == round(174 * 2 / measured["images"] * 1000)
    for name in ("dataflow", "custom_job"):
        assert {"date", "source", "status"} <= set(preparation_cost.cost.read_prices()[name])
    assert parse_machine_type("n1-standard-4") == (4, 15)
    assert parse_machine_type("e2-medium") is None


def upload(names, prefix):
    client = Client(project="test")
    for name in names:
        client.bucket(BUCKET).blob(f"{prefix.removeprefix(f'gs://{BUCKET}/')}/{name}").upload_from_string(b"x")
    client.close()


def test_images_are_counted_on_cloud_storage_and_nothing_else_is(cloud, bucket, capsys):
    upload(["a/1.png", "a/2.TIF", "b/3.jpg", "index.csv", "b/notes.txt"], f"{bucket}/data")
    assert "\nimages: 3\nwork: " in run(capsys, "--dry-run", f"--train-dir={bucket}/data")
    upload(["4.png"], f"{bucket}/test")
    printed = run(capsys, "--dry-run", f"--train-dir=genuine={bucket}/data", "--", f"--test-dir={bucket}/test")
    assert "\nimages: 4\n" in printed


def test_where_images_cannot_be_counted_the_reason_is_printed_and_the_job_is_submitted(cloud, bucket, capsys):
    printed = run(capsys, "--no-follow", "--train-dir=gs://no-such-bucket/data")
    assert "images: unknown; 'gs://no-such-bucket/data' cannot be listed from here: " in printed
    assert "cost: unknown without their number; or give --images COUNT" in printed
    assert len(read_custom_jobs(cloud)) == 1
    assert "images: unknown; there is no image below" in run(capsys, "--dry-run", f"--train-dir={bucket}/empty")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--train-dir=/gcs/bank/a"],
            "'/gcs/bank/a' is not a gs:// path; the workers of Dataflow have no other folder",
        ),
        (["--train-dir=gs://bank/a.zip"], "'gs://bank/a.zip' cannot be read by many workers; name a folder of image"),
        (["--", "--test-dir=scans"], "'scans' is not a gs:// path"),
        (["--worker-machine-type=n1-highcpu-16"], "n1-highcpu-16 has 0.9 GB for each core; a worker process on each"),
        (
            ["--beam-options=--machine_type=x"],
            "--machine_type is set by --worker-machine-type, which the estimate reads",
        ),
        (["--beam-options=--runner=x"], "--runner is set by this command"),
        (["--", "--seed=3", "--", "--subnetwork=x"], "give each as --beam-options=--NAME=VALUE"),
        (["--", "--train-dir=gs://bank/b"], "give --train-dir once"),
    ],
)
def test_what_a_preparation_on_dataflow_would_refuse_is_refused_before_anything_is_sent(cloud, capsys, flags, message):
    assert message in run(capsys, "--images=5", *flags, status=1)
    assert cloud.world.calls == []


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--", "--epoch", "3"], "unknown flag --epoch"),
        (["--", "--runner=direct"], "unknown flag --runner"),
        (["--beam-options=subnetwork"], "'subnetwork' is not an option of Beam"),
        (["--spot"], "unknown flag --spot"),
        (["--max-workers=0"], "'0' is out of range"),
    ],
)
def test_a_wrong_flag_starts_no_machine(cloud, capsys, flags, message):
    with pytest.raises(SystemExit):
        run(capsys, "--images=5", *flags)
    assert message in capsys.readouterr().err
    assert cloud.world.calls == []


def test_an_environment_without_data_cannot_be_prepared(tmp_path, capsys):
    (tmp_path / "bank.toml").write_text('[location]\nproject = "my-project"\n[training]\noutput = "gs://bank/jobs"\n')
    assert deploy.main(["prepare", "--env", str(tmp_path / "bank.toml"), "--preparation-image", IMAGE]) == 1
    assert "[training]: train_dir is missing; or give --train-dir" in capsys.readouterr().err


def test_the_same_name_continues_a_job_that_has_ended_and_is_refused_while_it_runs(cloud, capsys):
    flags = ["--name=one", "--images=5", "--no-follow"]
    run(capsys, *flags)
    assert "a job named 'one' is under way" in run(capsys, *flags, status=1)
    (job,) = read_custom_jobs(cloud)
    for state in ("CANCELLED", "FAILED"):
        cloud.world.set_job_state(job.name, state)
        run(capsys, *flags)
        *_, again = read_custom_jobs(cloud)
        first, second = (each.job_spec.worker_pool_specs[0].container_spec.args for each in (job, again))
        assert first == second, "the same job dir, of which trainer.prepare keeps what is finished"
        job = again


def test_a_job_that_fails_says_how_to_continue_it(cloud, capsys):
    class Failing:
        def run(self, world, job, version):
            world.log(job.name.rpartition("/")[2], "the pipeline for index failed; the same command continues it")
            world.set_job_state(job.name, "FAILED", "The replica workerpool0-0 exited with a non-zero status of 1.")

        def close(self):
            pass

    cloud.world.machines = Failing()
    printed = run(capsys, "--name=one", "--images=5", status=1)
    assert "the pipeline for index failed" in printed, "its log was followed"
    assert "the same command with --name one continues it" in printed


@pytest.mark.slow
@pytest.mark.usefixtures("tensorflow")
def test_the_arguments_of_the_job_prepare_the_data_on_dataflow(cloud, bucket, scans, capsys, monkeypatch):
    """The driver runs here, with exactly what was submitted, against Dataflow on loopback."""
    client = Client(project="test")
    for path in scans.rglob("*.*"):
        name = f"{bucket.removeprefix(f'gs://{BUCKET}/')}/people/{path.relative_to(scans).as_posix()}"
        client.bucket(BUCKET).blob(name).upload_from_filename(str(path))
    client.close()
    sleep = time.sleep
    clock = types.SimpleNamespace(sleep=lambda seconds: sleep(min(seconds, 0.05)), time=time.time)
    monkeypatch.setattr(dataflow_runner, "time", clock)
    flags = [f"--train-dir={bucket}/people", f"--output={bucket}/jobs", "--name=one", "--no-follow"]
    with dataflow_service() as (service, address):
        flags += [f"--beam-options=--dataflow_endpoint={address}", "--beam-options=--no_auth"]
        assert f"\nimages: {len([*scans.rglob('*.*')])}\n" in run(capsys, *flags, "--", "--copies-share=0")
        (job,) = read_custom_jobs(cloud)
        assert prepare.main([*job.job_spec.worker_pool_specs[0].container_spec.args]) == 0
        submitted = [*service.jobs.values()]
    assert submitted[0]["name"].startswith("countersign-index-")
    for each in submitted:
        assert each["labels"] == {"environment": "staging", "managed-by": "countersign", "product": "countersign"}
        (pool,) = each["environment"]["workerPools"]
        assert pool["machineType"] == "n1-standard-4"
        assert pool["diskSizeGb"] == 50
        assert pool["autoscalingSettings"]["maxNumWorkers"] == 4
    manifest = json.loads(remote_files.read_bytes(f"{bucket}/jobs/one/records/manifest.json"))
    assert manifest["data_sources"][0]["images"] == len([*scans.rglob("*.*")])
    remote_files._connect.cache_clear()


def test_deploy_needs_no_beam():
    sources = [path.read_text() for path in (ROOT / "deploy").rglob("*.py")]
    assert not [text for text in sources if "import apache_beam" in text or "trainer.beam" in text]
