"""Endpoints, their deployed models and the routing of predictions, as the API's documentation describes them."""

import re
from typing import Any

from google.cloud import aiplatform_v1 as api
from google.protobuf import json_format

from tests.loopback.registry import Registry
from tests.loopback.resources import Refused, empty, invalid


class Endpoints(Registry):
    """The rules of endpoints: traffic sums to 100 or is none, and a model with traffic is not undeployed."""

    def _create_endpoint(self, request):
        name = f"{request.parent}/endpoints/{request.endpoint_id or self._number()}"
        if name in self.resources:
            raise Refused(409, "ALREADY_EXISTS", f"{name} already exists.")
        self._check_labels(request.endpoint.labels)

        def work():
            if name in self.resources:  # another creation was faster
                raise Refused(409, "ALREADY_EXISTS", f"{name} already exists.")
            endpoint = self._store(name, request.endpoint)
            endpoint.create_time.GetCurrentTime()
            if endpoint.dedicated_endpoint_enabled:
                endpoint.dedicated_endpoint_dns = f"https://{name.rpartition('/')[2]}.loopback.invalid"
            return endpoint

        return self._operation(name, work)

    def _update_endpoint(self, request):
        endpoint, new = self._get(request.endpoint.name), request.endpoint
        for path in request.update_mask.paths:
            if path == "traffic_split":
                self._check_split(new.traffic_split, {model.id for model in endpoint.deployed_models})
            endpoint.ClearField(path)
            if path == "display_name":
                endpoint.display_name = new.display_name
            else:
                getattr(endpoint, path).update(getattr(new, path))
        return endpoint

    def _deploy_model(self, request):
        endpoint, new = self._get(request.endpoint), request.deployed_model
        version = self._version(new.model)
        id = new.id or str(self._number())
        ids = {model.id for model in endpoint.deployed_models}
        if id in ids or not re.fullmatch(r"[0-9]{1,10}", id):
            raise invalid(f"The deployed model id {id} exists already, or is none.")
        if not new.dedicated_resources.machine_spec.machine_type or new.dedicated_resources.min_replica_count < 1:
            raise invalid("machine_type and min_replica_count are required.")
        split = {id if key == "0" else key: share for key, share in request.traffic_split.items()}
        if split:
            self._check_split(split, {*ids, id})

        def work():
            if id in {model.id for model in endpoint.deployed_models}:  # another deployment was faster
                raise invalid(f"The deployed model id {id} exists already.")
            if self.machines:
                self.machines.start(request.endpoint, id, version)
            model = endpoint.deployed_models.add()
            model.CopyFrom(new)
            model.id, model.model, model.model_version_id = id, version.name, version.version_id
            model.create_time.GetCurrentTime()
            model.status.available_replica_count = new.dedicated_resources.min_replica_count
            if split:
                self._set_split(endpoint, split)
            return api.DeployModelResponse(deployed_model=api.DeployedModel(model))

        return self._operation(request.endpoint, work)

    def _mutate_deployed_model(self, request):
        endpoint = self._get(request.endpoint)
        model = self._find_deployed(endpoint, request.deployed_model.id)
        allowed = {"min_replica_count", "max_replica_count", "required_replica_count", "autoscaling_metric_specs"}
        for path in request.update_mask.paths:
            if path.removeprefix("dedicated_resources.") not in {*allowed, "disable_container_logging"}:
                raise invalid(f"{path} cannot be mutated.")

        def work():
            request.update_mask.MergeMessage(request.deployed_model, model, True, True)
            return api.MutateDeployedModelResponse(deployed_model=api.DeployedModel(model))

        return self._operation(request.endpoint, work)

    def _undeploy_model(self, request):
        endpoint = self._get(request.endpoint)
        model = self._find_deployed(endpoint, request.deployed_model_id)
        split = dict(request.traffic_split)
        if split:
            self._check_split(split, {other.id for other in endpoint.deployed_models} - {model.id})
        elif endpoint.traffic_split.get(model.id) and len(endpoint.deployed_models) > 1:
            raise invalid(f"{model.id} has traffic; it cannot be undeployed.")

        def work():
            self._find_deployed(endpoint, request.deployed_model_id)  # another operation may have been faster
            endpoint.deployed_models.remove(model)
            self._set_split(endpoint, split if split or endpoint.deployed_models else {}, keep=not split)
            if self.machines:
                self.machines.stop(request.endpoint, request.deployed_model_id)
            return api.UndeployModelResponse()

        return self._operation(request.endpoint, work)

    def _delete_endpoint(self, request):
        if self._get(request.name).deployed_models:
            raise invalid(f"{request.name} has deployed models.")

        def work():
            del self.resources[request.name]
            return empty()

        return self._operation(request.name, work)

    def _predict(self, request):
        endpoint = self._get(request.endpoint)
        if not endpoint.traffic_split:
            raise invalid(f"{request.endpoint} has no traffic split: it takes no requests.")
        if not self.machines:
            raise Refused(503, "UNAVAILABLE", "Nothing runs here.")
        content = json_format.MessageToDict(request)
        body = {name: content[name] for name in ("instances", "parameters") if content.get(name) is not None}
        id, response = self.machines.predict(request.endpoint, dict(endpoint.traffic_split), body)
        model = self._find_deployed(endpoint, id)
        return {
            "predictions": response["predictions"],
            "deployedModelId": id,
            "model": model.model,
            "modelVersionId": model.model_version_id,
        }

    def _find_deployed(self, endpoint: Any, id: str) -> Any:
        model = next((model for model in endpoint.deployed_models if model.id == id), None)
        if model is None:
            raise Refused(404, "NOT_FOUND", f"{id} is not deployed at {endpoint.name}.")
        return model

    def _check_split(self, split: Any, ids: set[str]) -> None:
        if split and (sum(split.values()) != 100 or not set(split) <= ids):
            raise invalid("The traffic split has to sum to 100, over the deployed models.")

    def _set_split(self, endpoint: Any, split: dict[str, int], keep: bool = False) -> None:
        if not (keep and endpoint.deployed_models):
            endpoint.traffic_split.clear()
        endpoint.traffic_split.update({id: share for id, share in split.items() if share})
