"""What jobs and deployments are: the trainer and the predictor, started here as Vertex AI starts their containers.

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

TRAINER = ["python", "-m", "trainer.task"]  # the entry point of our training image


class Machines:
    """Everything that runs; ``close`` ends it. Without ``jobs``, only deployments and batches do."""

    def __init__(self, jobs: bool = True, trainer: list[str] = TRAINER):
        self.jobs, self._trainer = jobs, trainer
        self.asked: list[tuple[str, int]] = []  # who was asked, with how many instances
        self._open = contextlib.ExitStack()
        self._servers: dict[str, str] = {}
        self._deployed: dict[tuple[str, str], str] = {}
        self._threads: list[threading.Thread] = []
        self._random = random.Random(5)

    # Deployments.

    def start(self, endpoint: str, id: str, version: Any) -> None:
        """A deployment becomes healthy. Raises ``Refused`` as the platform does when it never does."""
        spec = version.container_spec
        place = {"AIP_STORAGE_URI": version.artifact_uri, "AIP_PREDICT_ROUTE": spec.predict_route}
        place["AIP_HEALTH_ROUTE"] = spec.health_route
        if spec.health_route != "/health":
            raise Refused(13, "INTERNAL", "Model server never became ready.")
        if version.artifact_uri not in self._servers:
            self._servers[version.artifact_uri] = self._open.enter_context(serving(**place))
        self._deployed[endpoint, id] = self._servers[version.artifact_uri]

    def stop(self, endpoint: str, id: str) -> None:
        """A deployment ends; its server stays for others of the same artefact."""
        self._deployed.pop((endpoint, id), None)

    def predict(self, endpoint: str, split: dict[str, int], body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Whom the traffic reaches, and what it answers."""
        id = self._random.choices(list(split), list(split.values()))[0]
        self.asked.append((id, len(body.get("instances", []))))
        return id, _ask(self._deployed[endpoint, id], body)

    # Jobs.

    def run(self, world: Any, job: Any, version: Any) -> None:
        """Begin a job."""
        kind = job.name.split("/")[-2]
        if not self.jobs and kind != "batchPredictionJobs":
            return
        work = {"customJobs": self._train, "hyperparameterTuningJobs": self._tune, "batchPredictionJobs": self._batch}
        thread = threading.Thread(target=self._guarded, args=(work[kind], world, job, version), daemon=True)
        self._threads.append(thread)
        thread.start()

    def close(self) -> None:
        """End everything."""
        for thread in self._threads:
            thread.join(timeout=60)
        self._open.close()

    def _guarded(self, work, world, job, version):
        world.job(job.name, "RUNNING")
        try:
            work(world, job, version)
            world.job(job.name, "SUCCEEDED")
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in a job is its state
            world.job(job.name, "FAILED", str(error))

    def _train(self, world, job, _):
        spec = json_format.MessageToDict(job.job_spec)
        self._workers(world, job.name, spec, spec["baseOutputDirectory"]["outputUriPrefix"].rstrip("/"), [], {})

    def _tune(self, world, job, _):
        """Trials one after the other; whole numbers come as 3.0."""
        spec = json_format.MessageToDict(job.trial_job_spec)
        base = spec["baseOutputDirectory"]["outputUriPrefix"].rstrip("/")
        metric = job.study_spec.metrics[0].metric_id
        for number in range(1, job.max_trial_count + 1):
            values = {one.parameter_id: _value(one, self._random) for one in job.study_spec.parameters}
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "output.metrics"
                place = {"CLOUD_ML_HP_METRIC_FILE": str(file), "CLOUD_ML_TRIAL_ID": str(number)}
                chosen = [f"--{name}={value}" for name, value in values.items()]
                self._workers(world, job.name, spec, f"{base}/{number}", chosen, place)
                rows = [row for line in file.read_text().splitlines() if metric in (row := json.loads(line))]
            trial = job.trials.add()
            trial.id = str(number)
            for row in rows:
                measurement = trial.measurements.add()
                measurement.step_count = int(row["global_step"])
                added = measurement.metrics.add()
                added.metric_id, added.value = metric, float(row[metric])
            trial.final_measurement.CopyFrom(trial.measurements[-1])

    def _workers(self, world, name, spec, base, arguments, more):
        pools = spec["workerPoolSpecs"]
        of = [pool for pool in pools for _ in range(int(pool.get("replicaCount", 1)))]
        places = {"AIP_MODEL_DIR": f"{base}/model/", "AIP_CHECKPOINT_DIR": f"{base}/checkpoints/"}
        places |= {"AIP_TENSORBOARD_LOG_DIR": f"{base}/logs/"}
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
            clusters = _clusters(len(of))
            processes = []
            for number, pool in enumerate(of):
                own = Path(folder) / str(number)
                own.mkdir()
                command, paths = _command(pool, own, self._trainer)
                place = {**os.environ, **places, **clusters[number], **_given(pool), **more}
                place |= {"PYTHONPATH": paths, "COUNTERSIGN_CACHE": str(own / "cache")}
                how = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "cwd": own, "env": place}
                processes.append(running.enter_context(subprocess.Popen([*command, *arguments], **how)))
            listeners = [
                threading.Thread(target=_listen, args=(world, name, process), daemon=True) for process in processes
            ]
            for listener in listeners:
                listener.start()
            for listener in listeners:
                listener.join()
            ended = [process.wait(timeout=10) for process in processes]
        if any(ended):
            raise RuntimeError(f"The replica workerpool0-0 exited with a non-zero status of {max(ended)}.")

    def _batch(self, world, job, version):
        """Instances by line, answers by line; files by a list of them."""
        given, into = job.input_config, job.output_config.gcs_destination.output_uri_prefix.rstrip("/")
        lines = [line for uri in given.gcs_source.uris for line in storage.fetch(uri).read_text().splitlines() if line]
        place = {"AIP_STORAGE_URI": version.artifact_uri, "AIP_PREDICT_ROUTE": version.container_spec.predict_route}
        rows: list[str] = []
        images: dict[str, Path] = {}
        with serving(**place) as address, tempfile.TemporaryDirectory() as folder:
            for line in lines:
                if given.instances_format == "file-list":
                    prefix, _, name = line.rpartition("/")
                    images.setdefault(prefix, storage.fetch(prefix, Path(folder) / str(len(images))))
                    instance = {"b64": base64.b64encode((images[prefix] / name).read_bytes()).decode()}
                else:
                    instance = json.loads(line)
                answer = _ask(address, {"instances": [instance]})["predictions"][0]
                told = line if given.instances_format == "file-list" else instance
                rows.append(json.dumps({"instance": told, "prediction": answer}))
            results = Path(folder) / "results"
            results.mkdir()
            (results / "prediction.results-00000-of-00001").write_text("\n".join(rows) + "\n")
            storage.Place(results, into).push()
        with world.lock:
            job.output_info.gcs_output_directory = into
            job.completion_stats.successful_count = len(rows)


def _ask(address: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = httpx.post(address + "/predict", json=body, timeout=60)
    if answer.status_code != 200:
        raise Refused(answer.status_code, "INVALID_ARGUMENT", answer.text)
    return answer.json()


def _given(pool: dict[str, Any]) -> dict[str, str]:
    spec = pool.get("containerSpec") or pool["pythonPackageSpec"]
    return {one["name"]: one["value"] for one in spec.get("env", [])}


def _command(pool: dict[str, Any], folder: Path, trainer: list[str]) -> tuple[list[str], str]:
    """What a worker runs, and where its code is."""
    if "containerSpec" in pool:
        spec = pool["containerSpec"]
        command = spec.get("command", trainer)
        return [sys.executable, *command[1:], *spec.get("args", [])], str(ROOT)
    spec = pool["pythonPackageSpec"]
    packages = [str(storage.fetch(uri, folder / uri.rpartition("/")[2])) for uri in spec["packageUris"]]
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--quiet", "--target"]
    subprocess.run([*install, str(folder / "site"), *packages], check=True)
    return [sys.executable, "-m", spec["pythonModule"], *spec.get("args", [])], str(folder / "site")


def _clusters(workers: int) -> list[dict[str, str]]:
    """``TF_CONFIG`` of each of several workers; a lone one has none, as on Vertex AI."""
    if workers == 1:
        return [{}]
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(workers)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    cluster = {"chief": addresses[:1], "worker": addresses[1:]}
    tasks = [("chief", 0), *(("worker", number) for number in range(workers - 1))]
    return [
        {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": number}})}
        for kind, number in tasks
    ]


def _value(parameter: Any, rng: random.Random) -> Any:
    kind = parameter.WhichOneof("parameter_value_spec")
    of = getattr(parameter, kind)
    if kind == "integer_value_spec":
        return float(rng.randint(of.min_value, of.max_value))
    if kind == "double_value_spec":
        return rng.uniform(of.min_value, of.max_value)
    return rng.choice(list(of.values))


def _listen(world: Any, name: str, process: subprocess.Popen) -> None:
    for line in process.stdout:
        world.log(name.rpartition("/")[2], line.rstrip("\n"))
