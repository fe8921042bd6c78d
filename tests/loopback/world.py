"""The state of a loopback Vertex AI and its rules: what the API's documentation says each method does and refuses.

Resources are the API's own proto messages by name, open to inspection. Knows no HTTP. What jobs run and deployments
answer is given from outside (``machines.py``); without it, jobs are accepted and stay pending.
"""

import re
import threading
from collections.abc import Callable
from typing import Any

from google.cloud import aiplatform_v1 as api
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp

from tests.loopback.routes import Route

ALIAS = re.compile(r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9]")
PAGE = 2  # of a list, so that paging is seen to work
LABEL = re.compile(r"[a-z0-9_-]{0,63}")


class Refused(Exception):
    """The API's answer is an error."""

    def __init__(self, code: int, status: str, message: str):
        super().__init__(message)
        self.code, self.status = code, status


def invalid(message: str) -> Refused:
    return Refused(400, "FAILED_PRECONDITION" if "traffic" in message else "INVALID_ARGUMENT", message)


class World:
    """One project's Vertex AI. ``machines`` runs jobs and answers predictions."""

    def __init__(self, machines: Any = None):
        self.machines = machines
        self.resources: dict[str, Any] = {}  # proto messages by name
        self.models: dict[str, list[Any]] = {}  # versions by model name, oldest first; a deleted one is None
        self.operations: dict[str, dict[str, Any]] = {}
        self.points: list[tuple[str, int, float]] = []  # of TensorBoard curves: series, step, value
        self.calls: list[str] = []  # the methods called, in order
        self.logs: list[dict[str, Any]] = []
        self.looks = 0  # how often an operation is looked at before it is done
        self.lock = threading.RLock()
        self._count = 1000

    def call(self, route: Route, request: Any, path: str, fails: bool = False) -> Any:
        """The answer, a proto message or JSON. ``fails``: the operation ends with an error. Raises ``Refused``."""
        with self.lock:
            self._fails = fails
            own = getattr(self, "_" + re.sub(r"(?<!^)(?=[A-Z])", "_", route.rpc).lower(), None)
            if own:
                return own(request)
            return self._any(route.rpc, request, path)

    # Operations: looked at, they go on.

    def _operation(self, at: str, work: Callable[[], Any]) -> dict[str, Any]:
        name = f"{at}/operations/{self._number()}"
        self.operations[name] = {"left": self.looks, "work": work, "fails": self._fails}
        return self._look(name)

    def _look(self, name: str) -> dict[str, Any]:
        of = self.operations[name]
        if "done" not in of and of["left"] <= 0:
            of["done"] = self._end(of)
        of["left"] -= 1
        return {"name": name, **of.get("done", {"done": False})}

    def _end(self, of: dict[str, Any]) -> dict[str, Any]:
        try:
            if of["fails"]:
                raise Refused(13, "INTERNAL", "Model server never became ready. Please validate the container.")
            answer = of["work"]()
        except Refused as error:
            return {"done": True, "error": {"code": 13, "message": str(error)}}
        pb = type(answer).pb(answer) if hasattr(type(answer), "pb") else answer
        typed = {"@type": f"type.googleapis.com/{pb.DESCRIPTOR.full_name}"}
        return {"done": True, "response": {**typed, **json_format.MessageToDict(pb)}}

    def _get_operation(self, request):
        if request.name not in self.operations:
            raise Refused(404, "NOT_FOUND", f"{request.name} is not found.")
        return self._look(request.name)

    def _list_operations(self, request):
        mine = [name for name in self.operations if name.startswith(request.name + "/operations/")]
        first = int(request.page_token or 0)
        told = [self._look(name) for name in mine[first : first + PAGE]]
        return {"operations": told, "nextPageToken": str(first + PAGE) if len(mine) > first + PAGE else ""}

    # The registry.

    def _upload_model(self, request):
        id = request.parent_model.rpartition("/")[2] or request.model_id or str(self._number())
        name = f"{request.parent}/models/{id}"
        if request.parent_model and request.parent_model not in self.models:
            raise Refused(404, "NOT_FOUND", f"The parent model {request.parent_model} is not found.")
        if not request.parent_model and name in self.models:
            raise Refused(409, "ALREADY_EXISTS", f"The model {name} already exists; use parent_model.")
        self._check_labels(request.model.labels)
        for alias in request.model.version_aliases:
            self._check_alias(alias)

        def work():
            versions = self.models.setdefault(name, [])
            version = type(request.model)()
            version.CopyFrom(request.model)
            version.name, version.version_id = name, str(len(versions) + 1)
            if not versions and "default" not in version.version_aliases:
                version.version_aliases.append("default")
            version.supported_deployment_resources_types.append(1)
            version.version_create_time.GetCurrentTime()
            version.create_time.GetCurrentTime()
            versions.append(version)
            return api.UploadModelResponse(model=name, model_version_id=version.version_id)

        return self._operation(name, work)

    def _get_model(self, request):
        return self._merged(self._version(request.name))

    def _list_models(self, request):
        there = [self._version(name) for name in self.models if name.startswith(request.parent + "/models/")]
        return api.ListModelsResponse(models=[api.Model(one) for one in there])

    def _list_model_versions(self, request):
        if request.name not in self.models:
            raise Refused(404, "NOT_FOUND", f"The model {request.name} is not found.")
        there = [one for one in self.models[request.name] if one is not None]
        first = int(request.page_token or 0)
        page = [api.Model(self._merged(one)) for one in there[first : first + PAGE]]
        more = str(first + PAGE) if len(there) > first + PAGE else ""
        return api.ListModelVersionsResponse(models=page, next_page_token=more)

    def _merged(self, version: Any) -> Any:
        """As the API returns a version: with the labels of its model, and without what is for input only."""
        told = type(version)()
        told.CopyFrom(version)
        told.labels.update(next(of for of in self.models[version.name] if of).labels)
        told.ClearField("container_spec")
        return told

    def _merge_version_aliases(self, request):
        version = self._version(request.name)
        for alias in request.version_aliases:
            self._check_alias(alias.removeprefix("-"))
            if alias.startswith("-"):
                if alias[1:] not in version.version_aliases:
                    raise invalid(f"The alias {alias[1:]} is not of {request.name}.")
                version.version_aliases.remove(alias[1:])
            elif alias not in version.version_aliases:
                if other := next((o for o in self.models[version.name] if o and alias in o.version_aliases), None):
                    if alias != "default":
                        raise invalid(f"The alias {alias} is of version {other.version_id} already.")
                    other.version_aliases.remove(alias)
                version.version_aliases.append(alias)
        return version

    def _delete_model_version(self, request):
        version = self._version(request.name)
        if "default" in version.version_aliases or self._deployments(version):
            raise invalid(f"{request.name} is the default version, or deployed.")
        self.models[version.name][int(version.version_id) - 1] = None
        return self._operation(version.name, _empty)

    def _delete_model(self, request):
        for version in self.models.get(request.name, []):
            if version and self._deployments(version):
                raise invalid(f"{request.name} is deployed.")
        self.models.pop(request.name, None)
        return self._operation(request.name, _empty)

    def _import_model_evaluation(self, request):
        self._version(request.parent)
        if not request.model_evaluation.metrics_schema_uri:
            raise invalid("metrics_schema_uri is required.")
        kept = self._keep(f"{request.parent}/evaluations/{self._number()}", request.model_evaluation)
        kept.create_time.GetCurrentTime()
        return kept

    # Endpoints.

    def _create_endpoint(self, request):
        name = f"{request.parent}/endpoints/{request.endpoint_id or self._number()}"
        if name in self.resources:
            raise Refused(409, "ALREADY_EXISTS", f"{name} already exists.")
        self._check_labels(request.endpoint.labels)

        def work():
            kept = self._keep(name, request.endpoint)
            kept.create_time.GetCurrentTime()
            if kept.dedicated_endpoint_enabled:
                kept.dedicated_endpoint_dns = f"https://{name.rpartition('/')[2]}.loopback.invalid"
            return kept

        return self._operation(name, work)

    def _update_endpoint(self, request):
        kept, new = self._get(request.endpoint.name), request.endpoint
        for path in request.update_mask.paths:
            if path == "traffic_split":
                self._check_split(new.traffic_split, {one.id for one in kept.deployed_models})
            kept.ClearField(path)
            getattr(kept, path).update(getattr(new, path)) if path != "display_name" else None
            if path == "display_name":
                kept.display_name = new.display_name
        return kept

    def _deploy_model(self, request):
        endpoint, new = self._get(request.endpoint), request.deployed_model
        version = self._version(new.model)
        id = new.id or str(self._number())
        there = {one.id for one in endpoint.deployed_models}
        if id in there or not re.fullmatch(r"[0-9]{1,10}", id):
            raise invalid(f"The deployed model id {id} exists already, or is none.")
        if not new.dedicated_resources.machine_spec.machine_type or new.dedicated_resources.min_replica_count < 1:
            raise invalid("machine_type and min_replica_count are required.")
        split = {id if key == "0" else key: share for key, share in request.traffic_split.items()}
        if split:
            self._check_split(split, {*there, id})

        def work():
            if self.machines:
                self.machines.start(request.endpoint, id, version)
            kept = endpoint.deployed_models.add()
            kept.CopyFrom(new)
            kept.id, kept.model, kept.model_version_id = id, version.name, version.version_id
            kept.create_time.GetCurrentTime()
            kept.status.available_replica_count = new.dedicated_resources.min_replica_count
            if split:
                self._set_split(endpoint, split)
            return api.DeployModelResponse(deployed_model=api.DeployedModel(kept))

        return self._operation(request.endpoint, work)

    def _mutate_deployed_model(self, request):
        endpoint = self._get(request.endpoint)
        kept = self._deployed(endpoint, request.deployed_model.id)
        allowed = {"min_replica_count", "max_replica_count", "required_replica_count", "autoscaling_metric_specs"}
        for path in request.update_mask.paths:
            if path.removeprefix("dedicated_resources.") not in {*allowed, "disable_container_logging"}:
                raise invalid(f"{path} cannot be mutated.")

        def work():
            request.update_mask.MergeMessage(request.deployed_model, kept, True, True)
            return api.MutateDeployedModelResponse(deployed_model=api.DeployedModel(kept))

        return self._operation(request.endpoint, work)

    def _undeploy_model(self, request):
        endpoint = self._get(request.endpoint)
        kept = self._deployed(endpoint, request.deployed_model_id)
        split = dict(request.traffic_split)
        if split:
            self._check_split(split, {one.id for one in endpoint.deployed_models} - {kept.id})
        elif endpoint.traffic_split.get(kept.id) and len(endpoint.deployed_models) > 1:
            raise invalid(f"{kept.id} has traffic; it cannot be undeployed.")

        def work():
            endpoint.deployed_models.remove(kept)
            self._set_split(endpoint, split if split or endpoint.deployed_models else {}, keep=not split)
            if self.machines:
                self.machines.stop(request.endpoint, request.deployed_model_id)
            return api.UndeployModelResponse()

        return self._operation(request.endpoint, work)

    def _delete_endpoint(self, request):
        if self._get(request.name).deployed_models:
            raise invalid(f"{request.name} has deployed models.")
        del self.resources[request.name]
        return self._operation(request.name, _empty)

    def _predict(self, request):
        endpoint = self._get(request.endpoint)
        if not endpoint.traffic_split:
            raise invalid(f"{request.endpoint} has no traffic split: it takes no requests.")
        if not self.machines:
            raise Refused(503, "UNAVAILABLE", "Nothing runs here.")
        body = json_format.MessageToDict(request)
        asked = {name: body[name] for name in ("instances", "parameters") if body.get(name) is not None}
        id, answer = self.machines.predict(request.endpoint, dict(endpoint.traffic_split), asked)
        one = self._deployed(endpoint, id)
        told = {"deployedModelId": id, "model": one.model, "modelVersionId": one.model_version_id}
        return {"predictions": answer["predictions"], **told}

    # Jobs.

    def _create_custom_job(self, request):
        return self._job(request.parent, "customJobs", request.custom_job)

    def _create_hyperparameter_tuning_job(self, request):
        return self._job(request.parent, "hyperparameterTuningJobs", request.hyperparameter_tuning_job)

    def _create_batch_prediction_job(self, request):
        self._version(request.batch_prediction_job.model)
        return self._job(request.parent, "batchPredictionJobs", request.batch_prediction_job)

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

    # Experiments and their curves.

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

    # What all resources have in common.

    def _any(self, rpc: str, request: Any, path: str) -> Any:
        """Create, get, list, update and delete of what needs no rules of its own."""
        verb, kind = re.fullmatch(r"(Create|Get|List|Update|Delete)?(.*)", rpc).groups()
        field = re.sub(r"(?<!^)(?=[A-Z])", "_", kind).lower()
        if verb == "Create":
            id = getattr(request, f"{field}_id", "") or str(self._number())
            name = f"{request.parent}/{path.rpartition('/')[2]}/{id}"
            if name in self.resources:
                raise Refused(409, "ALREADY_EXISTS", f"{name} already exists.")
            kept = self._keep(name, getattr(request, field))
            slow = kind in ("MetadataStore", "Tensorboard")
            return self._operation(name, lambda: kept) if slow else kept
        if verb == "Get":
            return self._get(request.name)
        if verb == "List":
            at = f"{request.parent}/{path.rpartition('/')[2]}/"
            found = [of for name, of in self.resources.items() if re.fullmatch(re.escape(at) + "[^/]+", name)]
            answer = getattr(api, f"{rpc}Response")
            (many,) = [field.json_name for field in answer.pb(answer()).DESCRIPTOR.fields if field.message_type]
            return {many: [json_format.MessageToDict(of) for of in found]}
        if verb == "Update":
            new = getattr(request, field)
            self._get(new.name)
            return self._keep(new.name, new)
        raise Refused(501, "UNIMPLEMENTED", f"{rpc} is not in the loopback Vertex AI.")

    def _keep(self, name: str, message: Any) -> Any:
        kept = type(message)()
        kept.CopyFrom(message)
        kept.name = name
        self.resources[name] = kept
        return kept

    def _get(self, name: str) -> Any:
        if name not in self.resources:
            raise Refused(404, "NOT_FOUND", f"{name} is not found.")
        return self.resources[name]

    def _version(self, name: str) -> Any:
        """``models/M``, ``models/M@2`` or ``models/M@alias``."""
        name, _, which = name.partition("@")
        for version in self.models.get(name, []):
            if version and (version.version_id == which or (which or "default") in version.version_aliases):
                return version
        raise Refused(404, "NOT_FOUND", f"The model {name}@{which or 'default'} is not found.")

    def _deployed(self, endpoint: Any, id: str) -> Any:
        found = next((one for one in endpoint.deployed_models if one.id == id), None)
        if found is None:
            raise Refused(404, "NOT_FOUND", f"{id} is not deployed at {endpoint.name}.")
        return found

    def _deployments(self, version: Any) -> list[Any]:
        mine = (version.name, version.version_id)
        every = [one for of in self.resources.values() for one in getattr(of, "deployed_models", ())]
        return [one for one in every if (one.model, one.model_version_id) == mine]

    def _check_split(self, split: Any, there: set[str]) -> None:
        if split and (sum(split.values()) != 100 or not set(split) <= there):
            raise invalid("The traffic split has to sum to 100, over what is deployed.")

    def _set_split(self, endpoint: Any, split: dict[str, int], keep: bool = False) -> None:
        if not (keep and endpoint.deployed_models):
            endpoint.traffic_split.clear()
        endpoint.traffic_split.update({id: share for id, share in split.items() if share})

    def _check_alias(self, alias: str) -> None:
        if not ALIAS.fullmatch(alias):
            raise invalid(f"{alias} is no alias.")

    def _check_labels(self, labels: Any) -> None:
        if not all(LABEL.fullmatch(text) for pair in labels.items() for text in pair):
            raise invalid(f"{dict(labels)} are no labels.")

    def _number(self) -> int:
        self._count += 1
        return self._count


def _empty() -> Any:
    from google.protobuf.empty_pb2 import Empty

    return Empty()
