"""Custom jobs, studies and batch predictions with states and logs, and the curves of experiments."""

import re
from typing import Any

from google.cloud import aiplatform_v1 as api
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp

from tests.loopback.registry import Registry
from tests.loopback.resources import PAGE_SIZE, invalid


class Jobs(Registry):
    """Jobs as resources; ``machines.py`` runs them and reports their states and log lines."""

    def _create_custom_job(self, request):
        return self._create_job(request.parent, "customJobs", request.custom_job)

    def _create_hyperparameter_tuning_job(self, request):
        return self._create_job(request.parent, "hyperparameterTuningJobs", request.hyperparameter_tuning_job)

    def _create_batch_prediction_job(self, request):
        self._version(request.batch_prediction_job.model)
        return self._create_job(request.parent, "batchPredictionJobs", request.batch_prediction_job)

    def _list_custom_jobs(self, request):
        return self._list_jobs(request, "customJobs")

    def _list_hyperparameter_tuning_jobs(self, request):
        return self._list_jobs(request, "hyperparameterTuningJobs")

    def _list_batch_prediction_jobs(self, request):
        return self._list_jobs(request, "batchPredictionJobs")

    def _list_jobs(self, request: Any, kind: str) -> dict[str, Any]:
        """Return a page of jobs, newest first; the only filter is that by display name."""
        display_name = re.fullmatch(r'display_name="([^"]*)"', request.filter)
        if request.filter and not display_name:
            raise invalid(f"The filter {request.filter!r} is not in the loopback Vertex AI.")
        jobs = [job for name, job in self.resources.items() if name.startswith(f"{request.parent}/{kind}/")]
        jobs = [job for job in reversed(jobs) if not display_name or job.display_name == display_name[1]]
        first = int(request.page_token or 0)
        page = [json_format.MessageToDict(job) for job in jobs[first : first + PAGE_SIZE]]
        return {kind: page, "nextPageToken": str(first + PAGE_SIZE) if len(jobs) > first + PAGE_SIZE else ""}

    def _cancel_custom_job(self, request):
        self._get(request.name).state = api.JobState.JOB_STATE_CANCELLED
        return {}

    def _create_job(self, parent: str, kind: str, job: Any) -> Any:
        self._check_labels(job.labels)
        job = self._store(f"{parent}/{kind}/{self._number()}", job)
        job.state = api.JobState.JOB_STATE_PENDING
        job.create_time.GetCurrentTime()
        if self.machines:
            version = self._version(job.model) if kind == "batchPredictionJobs" else None
            self.machines.run(self, job, version)
        return job

    def set_job_state(self, name: str, state: str, error: str = "") -> None:
        """Set the state of a job, as the machine that runs it reports."""
        with self.lock:
            job = self.resources[name]
            job.state = api.JobState[f"JOB_STATE_{state}"]
            job.error.message = error
            (job.start_time if state == "RUNNING" else job.end_time).GetCurrentTime()

    def log(self, job: str, text: str) -> None:
        """Add a line to the log of a job."""
        now = Timestamp()
        now.GetCurrentTime()
        self.logs.append(
            {
                "timestamp": now.ToJsonString(),
                "insertId": str(len(self.logs)),
                "textPayload": text,
                "severity": "INFO",
                "resource": {"type": "ml_job", "labels": {"job_id": job, "task_name": "workerpool0-0"}},
            }
        )

    def _write_tensorboard_run_data(self, request):
        for series in request.time_series_data:
            name = f"{request.tensorboard_run}/timeSeries/{series.tensorboard_time_series_id}"
            display_name = self.resources[name].display_name
            self.points += [(display_name, point.step, round(point.scalar.value, 6)) for point in series.values]
        return {}

    def _add_context_artifacts_and_executions(self, request):
        return {}

    def _add_context_children(self, request):
        return {}
