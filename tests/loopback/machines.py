"""Jobs and deployed models: the trainer and the predictor, started as Vertex AI starts their containers.

Images are not pulled: a container of any image is this tree's code with the environment that the platform sets. Paths
are ``gs://`` on the emulator that ``STORAGE_EMULATOR_HOST`` names.
"""

import base64
import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import httpx
from google.protobuf import json_format

from tests.conftest import ROOT, serving
from tests.loopback.resources import Refused
from trainer import storage
from trainer.console.progress import transfer_progress

TRAINER = ["python", "-m", "trainer.task"]  # the entry point of our training image


class Machines:
    """Everything that runs, until ``close``. Without ``jobs``, training jobs and studies stay pending."""

    def __init__(self, jobs: bool = True, trainer: list[str] = TRAINER):
        self.jobs, self._trainer = jobs, trainer
        self._exit_stack = contextlib.ExitStack()
        self._servers: dict[str, str] = {}  # addresses by artefact
        self._deployed: dict[tuple[str, str], str] = {}  # addresses by endpoint and deployed model id
        self._threads: list[threading.Thread] = []
        self._random = random.Random(5)

    def start(self, endpoint: str, id: str, version: Any) -> None:
        """Start a deployed model. Raises ``Refused``, as the platform does for one that never becomes healthy."""
        spec = version.container_spec
        if spec.health_route != "/health":
            raise Refused(13, "INTERNAL", "Model server never became ready.")
        if version.artifact_uri not in self._servers:
            address = self._exit_stack.enter_context(
                serving(
                    AIP_STORAGE_URI=version.artifact_uri,
                    AIP_PREDICT_ROUTE=spec.predict_route,
                    AIP_HEALTH_ROUTE=spec.health_route,
                )
            )
            self._servers[version.artifact_uri] = address
        self._deployed[endpoint, id] = self._servers[version.artifact_uri]

    def stop(self, endpoint: str, id: str) -> None:
        """Stop a deployed model; its server goes on for other models of the same artefact."""
        self._deployed.pop((endpoint, id), None)

    def predict(self, endpoint: str, split: dict[str, int], body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return the deployed model that the traffic split selects, and its response."""
        id = self._random.choices(list(split), list(split.values()))[0]
        return id, _post_predict(self._deployed[endpoint, id], body)

    def run(self, world: Any, job: Any, version: Any) -> None:
        """Start a job in a thread."""
        kind = job.name.split("/")[-2]
        if not self.jobs and kind != "batchPredictionJobs":
            return
        work = {"customJobs": self._train, "hyperparameterTuningJobs": self._tune, "batchPredictionJobs": self._batch}
        thread = threading.Thread(target=self._run_job, args=(work[kind], world, job, version), daemon=True)
        self._threads.append(thread)
        thread.start()

    def close(self) -> None:
        """Wait for all jobs and stop all servers."""
        for thread in self._threads:
            thread.join(timeout=60)
        self._exit_stack.close()

    def _run_job(self, work, world, job, version):
        world.set_job_state(job.name, "RUNNING")
        try:
            work(world, job, version)
            world.set_job_state(job.name, "SUCCEEDED")
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in a job is its state
            world.set_job_state(job.name, "FAILED", str(error))

    def _train(self, world, job, _):
        spec = json_format.MessageToDict(job.job_spec)
        self._run_workers(world, job.name, spec, spec["baseOutputDirectory"]["outputUriPrefix"].rstrip("/"))

    def _tune(self, world, job, _):
        """Run trials one after the other; integers are passed as 3.0, as Vertex AI does."""
        spec = json_format.MessageToDict(job.trial_job_spec)
        base = spec["baseOutputDirectory"]["outputUriPrefix"].rstrip("/")
        metric = job.study_spec.metrics[0].metric_id
        for number in range(1, job.max_trial_count + 1):
            values = {p.parameter_id: _draw_value(p, self._random) for p in job.study_spec.parameters}
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "output.metrics"
                variables = {"CLOUD_ML_HP_METRIC_FILE": str(file), "CLOUD_ML_TRIAL_ID": str(number)}
                flags = [f"--{name}={value}" for name, value in values.items()]
                self._run_workers(world, job.name, spec, f"{base}/{number}", flags, variables)
                rows = [row for line in file.read_text().splitlines() if metric in (row := json.loads(line))]
            trial = job.trials.add()
            trial.id = str(number)
            for row in rows:
                measurement = trial.measurements.add()
                measurement.step_count = int(row["global_step"])
                added = measurement.metrics.add()
                added.metric_id, added.value = metric, float(row[metric])
            trial.final_measurement.CopyFrom(trial.measurements[-1])

    def _run_workers(self, world, name, spec, base, flags=(), variables=()):
        """Run the workers of a job until all have ended. Raises ``RuntimeError`` for a non-zero exit status."""
        pools = [pool for pool in spec["workerPoolSpecs"] for _ in range(int(pool.get("replicaCount", 1)))]
        output = {
            "AIP_MODEL_DIR": f"{base}/model/",
            "AIP_CHECKPOINT_DIR": f"{base}/checkpoints/",
            "AIP_TENSORBOARD_LOG_DIR": f"{base}/logs/",
        }
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
            clusters = _make_clusters(len(pools))
            processes = []
            for number, pool in enumerate(pools):
                worker_dir = Path(folder) / str(number)
                worker_dir.mkdir()
                command, python_path = _make_command(pool, worker_dir, self._trainer)
                environment = {**os.environ, **output, **clusters[number], **_read_variables(pool), **dict(variables)}
                environment |= {"PYTHONPATH": python_path, "COUNTERSIGN_CACHE": str(worker_dir / "cache")}
                process = subprocess.Popen(
                    [*command, *flags],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    cwd=worker_dir,
                    env=environment,
                )
                processes.append(running.enter_context(process))
            readers = [threading.Thread(target=_log_output, args=(world, name, p), daemon=True) for p in processes]
            for reader in readers:
                reader.start()
            for reader in readers:
                reader.join()
            statuses = [process.wait(timeout=10) for process in processes]
        if any(statuses):
            raise RuntimeError(f"The replica workerpool0-0 exited with a non-zero status of {max(statuses)}.")

    def _batch(self, world, job, version):
        """Answer each line of the input files: an instance in JSON, or the path of an image."""
        config, output = job.input_config, job.output_config.gcs_destination.output_uri_prefix.rstrip("/")
        is_file_list = config.instances_format == "file-list"
        lines = [
            line
            for uri in config.gcs_source.uris
            for line in storage.fetch(uri, progress=transfer_progress).read_text().splitlines()
            if line
        ]
        variables = {"AIP_STORAGE_URI": version.artifact_uri, "AIP_PREDICT_ROUTE": version.container_spec.predict_route}
        rows: list[str] = []
        folders: dict[str, Path] = {}  # local copies by prefix
        with serving(**variables) as address, tempfile.TemporaryDirectory() as folder:
            for line in lines:
                if is_file_list:
                    prefix, _, name = line.rpartition("/")
                    folders.setdefault(prefix, storage.fetch(prefix, Path(folder) / str(len(folders))))
                    instance = {"b64": base64.b64encode((folders[prefix] / name).read_bytes()).decode()}
                else:
                    instance = json.loads(line)
                prediction = _post_predict(address, {"instances": [instance]})["predictions"][0]
                rows.append(json.dumps({"instance": line if is_file_list else instance, "prediction": prediction}))
            results = Path(folder) / "results"
            results.mkdir()
            (results / "prediction.results-00000-of-00001").write_text("\n".join(rows) + "\n")
            storage.Workdir(results, output).push()
        with world.lock:
            job.output_info.gcs_output_directory = output
            job.completion_stats.successful_count = len(rows)


def _post_predict(address: str, body: dict[str, Any]) -> dict[str, Any]:
    response = httpx.post(address + "/predict", json=body, timeout=60)
    if response.status_code != 200:
        raise Refused(response.status_code, "INVALID_ARGUMENT", response.text)
    return response.json()


def _read_variables(pool: dict[str, Any]) -> dict[str, str]:
    spec = pool.get("containerSpec") or pool["pythonPackageSpec"]
    return {variable["name"]: variable["value"] for variable in spec.get("env", [])}


def _make_command(pool: dict[str, Any], folder: Path, trainer: list[str]) -> tuple[list[str], str]:
    """Return the command of a worker, and the folder of its code."""
    if "containerSpec" in pool:
        spec = pool["containerSpec"]
        command = spec.get("command", trainer)
        return [sys.executable, *command[1:], *spec.get("args", [])], str(ROOT)
    spec = pool["pythonPackageSpec"]
    packages = [str(storage.fetch(uri, folder / uri.rpartition("/")[2])) for uri in spec["packageUris"]]
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--quiet", "--target"]
    subprocess.run([*install, str(folder / "site"), *packages], check=True)
    return [sys.executable, "-m", spec["pythonModule"], *spec.get("args", [])], str(folder / "site")


def _make_clusters(workers: int) -> list[dict[str, str]]:
    """Return ``TF_CONFIG`` of each worker; a single worker has none, as on Vertex AI."""
    if workers == 1:
        return [{}]
    with contextlib.ExitStack() as open_sockets:
        sockets = [open_sockets.enter_context(socket.socket()) for _ in range(workers)]
        for bound in sockets:
            bound.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{bound.getsockname()[1]}" for bound in sockets]
    cluster = {"chief": addresses[:1], "worker": addresses[1:]}
    tasks = [("chief", 0), *(("worker", number) for number in range(workers - 1))]
    return [
        {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": role, "index": number}})}
        for role, number in tasks
    ]


def _draw_value(parameter: Any, rng: random.Random) -> Any:
    kind = parameter.WhichOneof("parameter_value_spec")
    spec = getattr(parameter, kind)
    if kind == "integer_value_spec":
        return float(rng.randint(spec.min_value, spec.max_value))
    if kind == "double_value_spec":
        return rng.uniform(spec.min_value, spec.max_value)
    return rng.choice(list(spec.values))


def _log_output(world: Any, name: str, process: subprocess.Popen) -> None:
    for line in process.stdout:
        world.log(name.rpartition("/")[2], line.rstrip("\n"))
