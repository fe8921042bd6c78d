"""Endpoints, what is deployed there, and whom requests reach, as the API's documentation describes them."""

import re
from typing import Any

from google.cloud import aiplatform_v1 as api
from google.protobuf import json_format

from tests.loopback.registry import Registry
from tests.loopback.resources import Refused, empty, invalid


class Endpoints(Registry):
    """Traffic sums to 100 or is none, and what has some is not undeployed."""

    def _create_endpoint(self, request):
        name = f"{request.parent}/endpoints/{request.endpoint_id or self._number()}"
        if name in self.resources:
            raise Refused(409, "ALREADY_EXISTS", f"{name} already exists.")
        self._check_labels(request.endpoint.labels)

        def work():
            if name in self.resources:  # another creation was faster
                raise Refused(409, "ALREADY_EXISTS", f"{name} already exists.")
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
            if id in {one.id for one in endpoint.deployed_models}:  # another deployment was faster
                raise invalid(f"The deployed model id {id} exists already.")
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
            self._deployed(endpoint, request.deployed_model_id)  # another operation may have been faster
            endpoint.deployed_models.remove(kept)
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
        body = json_format.MessageToDict(request)
        asked = {name: body[name] for name in ("instances", "parameters") if body.get(name) is not None}
        id, answer = self.machines.predict(request.endpoint, dict(endpoint.traffic_split), asked)
        one = self._deployed(endpoint, id)
        told = {"deployedModelId": id, "model": one.model, "modelVersionId": one.model_version_id}
        return {"predictions": answer["predictions"], **told}

    def _deployed(self, endpoint: Any, id: str) -> Any:
        found = next((one for one in endpoint.deployed_models if one.id == id), None)
        if found is None:
            raise Refused(404, "NOT_FOUND", f"{id} is not deployed at {endpoint.name}.")
        return found

    def _check_split(self, split: Any, there: set[str]) -> None:
        if split and (sum(split.values()) != 100 or not set(split) <= there):
            raise invalid("The traffic split has to sum to 100, over what is deployed.")

    def _set_split(self, endpoint: Any, split: dict[str, int], keep: bool = False) -> None:
        if not (keep and endpoint.deployed_models):
            endpoint.traffic_split.clear()
        endpoint.traffic_split.update({id: share for id, share in split.items() if share})
