"""Custom jobs, studies and batch predictions, their states and logs; and the curves of experiments."""

import re
from typing import Any

from google.cloud import aiplatform_v1 as api
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp

from tests.loopback.registry import Registry
from tests.loopback.resources import PAGE, invalid


class Jobs(Registry):
    """What a job does, a machine does; here is what it tells."""

    def _create_custom_job(self, request):
        return self._job(request.parent, "customJobs", request.custom_job)

    def _create_hyperparameter_tuning_job(self, request):
        return self._job(request.parent, "hyperparameterTuningJobs", request.hyperparameter_tuning_job)

    def _create_batch_prediction_job(self, request):
        self._version(request.batch_prediction_job.model)
        return self._job(request.parent, "batchPredictionJobs", request.batch_prediction_job)

    def _list_custom_jobs(self, request):
        return self._named(request, "customJobs")

    def _list_hyperparameter_tuning_jobs(self, request):
        return self._named(request, "hyperparameterTuningJobs")

    def _list_batch_prediction_jobs(self, request):
        return self._named(request, "batchPredictionJobs")

    def _named(self, request: Any, kind: str) -> dict[str, Any]:
        """Jobs by the one filter that is used, newest first, in pages."""
        wanted = re.fullmatch(r'display_name="([^"]*)"', request.filter)
        if request.filter and not wanted:
            raise invalid(f"The filter {request.filter!r} is not in the loopback Vertex AI.")
        found = [of for name, of in self.resources.items() if name.startswith(f"{request.parent}/{kind}/")]
        found = [of for of in reversed(found) if not wanted or of.display_name == wanted[1]]
        first = int(request.page_token or 0)
        page = [json_format.MessageToDict(of) for of in found[first : first + PAGE]]
        return {kind: page, "nextPageToken": str(first + PAGE) if len(found) > first + PAGE else ""}

    def _cancel_custom_job(self, request):
        self._get(request.name).state = api.JobState.JOB_STATE_CANCELLED
        return {}

    def _job(self, parent: str, kind: str, job: Any) -> Any:
        self._check_labels(job.labels)
        kept = self._keep(f"{parent}/{kind}/{self._number()}", job)
        kept.state = api.JobState.JOB_STATE_PENDING
        kept.create_time.GetCurrentTime()
        if self.machines:
            version = self._version(kept.model) if kind == "batchPredictionJobs" else None
            self.machines.run(self, kept, version)
        return kept

    def job(self, name: str, state: str, error: str = "") -> None:
        """What a machine tells of its job."""
        with self.lock:
            kept = self.resources[name]
            kept.state = api.JobState[f"JOB_STATE_{state}"]
            kept.error.message = error
            (kept.start_time if state == "RUNNING" else kept.end_time).GetCurrentTime()

    def log(self, job: str, text: str) -> None:
        """A line that a machine printed."""
        now = Timestamp()
        now.GetCurrentTime()
        self.logs.append({
            "timestamp": now.ToJsonString(), "insertId": str(len(self.logs)), "textPayload": text, "severity": "INFO",
            "resource": {"type": "ml_job", "labels": {"job_id": job, "task_name": "workerpool0-0"}},
        })  # fmt: skip

    def _write_tensorboard_run_data(self, request):
        for series in request.time_series_data:
            name = f"{request.tensorboard_run}/timeSeries/{series.tensorboard_time_series_id}"
            called = self.resources[name].display_name
            self.points += [(called, point.step, round(point.scalar.value, 6)) for point in series.values]
        return {}

    def _add_context_artifacts_and_executions(self, request):
        return {}

    def _add_context_children(self, request):
        return {}
