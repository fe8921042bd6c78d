"""Models, their versions, aliases and evaluations, as the API's documentation describes them."""

import re
from typing import Any

from google.cloud import aiplatform_v1 as api

from tests.loopback.resources import PAGE, Refused, Resources, empty, invalid

ALIAS = re.compile(r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9]")


class Registry(Resources):
    """A model's versions are a list, oldest first; a deleted one leaves its place."""

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
        kept = self._keep(f"{request.parent}/evaluations/{self._number()}", request.model_evaluation)
        kept.create_time.GetCurrentTime()
        return kept

    def _version(self, name: str) -> Any:
        """``models/M``, ``models/M@2`` or ``models/M@alias``."""
        name, _, which = name.partition("@")
        for version in self.models.get(name, []):
            if version and (version.version_id == which or (which or "default") in version.version_aliases):
                return version
        raise Refused(404, "NOT_FOUND", f"The model {name}@{which or 'default'} is not found.")

    def _deployments(self, version: Any) -> list[Any]:
        mine = (version.name, version.version_id)
        every = [one for of in self.resources.values() for one in getattr(of, "deployed_models", ())]
        return [one for one in every if (one.model, one.model_version_id) == mine]

    def _check_alias(self, alias: str) -> None:
        if not ALIAS.fullmatch(alias):
            raise invalid(f"{alias} is no alias.")
