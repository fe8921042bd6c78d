"""Models, their versions, aliases and evaluations, as the API's documentation describes them."""

import re
from typing import Any

from google.cloud import aiplatform_v1 as api

from tests.loopback.resources import PAGE_SIZE, Refused, Resources, empty, invalid

ALIAS = re.compile(r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9]")


class Registry(Resources):
    """The rules of the registry. A model's versions are a list, oldest first, with None for a deleted version."""

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
            if not request.parent_model and name in self.models:  # another upload was faster
                raise Refused(409, "ALREADY_EXISTS", f"The model {name} already exists; use parent_model.")
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
        return self._to_response(self._version(request.name))

    def _list_models(self, request):
        models = [self._version(name) for name in self.models if name.startswith(request.parent + "/models/")]
        return api.ListModelsResponse(models=[api.Model(model) for model in models])

    def _list_model_versions(self, request):
        if request.name not in self.models:
            raise Refused(404, "NOT_FOUND", f"The model {request.name} is not found.")
        versions = [version for version in self.models[request.name] if version is not None]
        first = int(request.page_token or 0)
        page = [api.Model(self._to_response(version)) for version in versions[first : first + PAGE_SIZE]]
        next_page = str(first + PAGE_SIZE) if len(versions) > first + PAGE_SIZE else ""
        return api.ListModelVersionsResponse(models=page, next_page_token=next_page)

    def _to_response(self, version: Any) -> Any:
        """Return a version as the API does: with the labels of its model, without input-only fields."""
        response = type(version)()
        response.CopyFrom(version)
        response.labels.update(next(first for first in self.models[version.name] if first).labels)
        response.ClearField("container_spec")
        return response

    def _merge_version_aliases(self, request):
        version = self._version(request.name)
        for alias in request.version_aliases:
            self._check_alias(alias.removeprefix("-"))
            if alias.startswith("-"):
                if alias[1:] not in version.version_aliases:
                    raise invalid(f"The alias {alias[1:]} is not of {request.name}.")
                version.version_aliases.remove(alias[1:])
            elif alias not in version.version_aliases:
                if other := next((v for v in self.models[version.name] if v and alias in v.version_aliases), None):
                    if alias != "default":
                        raise invalid(f"The alias {alias} is of version {other.version_id} already.")
                    other.version_aliases.remove(alias)
                version.version_aliases.append(alias)
        return version

    def _delete_model_version(self, request):
        version = self._version(request.name)
        if "default" in version.version_aliases or self._deployments(version):
            raise invalid(f"{request.name} is the default version, or deployed.")

        def work():
            self.models[version.name][int(version.version_id) - 1] = None
            return empty()

        return self._operation(version.name, work)

    def _delete_model(self, request):
        for version in self.models.get(request.name, []):
            if version and self._deployments(version):
                raise invalid(f"{request.name} is deployed.")

        def work():
            self.models.pop(request.name, None)
            return empty()

        return self._operation(request.name, work)

    def _import_model_evaluation(self, request):
        self._version(request.parent)
        if not request.model_evaluation.metrics_schema_uri:
            raise invalid("metrics_schema_uri is required.")
        evaluation = self._store(f"{request.parent}/evaluations/{self._number()}", request.model_evaluation)
        evaluation.create_time.GetCurrentTime()
        return evaluation

    def _version(self, name: str) -> Any:
        """Return the version of ``models/M`` (the default one), ``models/M@2`` or ``models/M@alias``."""
        name, _, selector = name.partition("@")
        for version in self.models.get(name, []):
            if version and (version.version_id == selector or (selector or "default") in version.version_aliases):
                return version
        raise Refused(404, "NOT_FOUND", f"The model {name}@{selector or 'default'} is not found.")

    def _deployments(self, version: Any) -> list[Any]:
        resources = self.resources.values()
        models = [model for resource in resources for model in getattr(resource, "deployed_models", ())]
        key = (version.name, version.version_id)
        return [model for model in models if (model.model, model.model_version_id) == key]

    def _check_alias(self, alias: str) -> None:
        if not ALIAS.fullmatch(alias):
            raise invalid(f"{alias} is no alias.")
