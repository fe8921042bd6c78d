"""The live state on Vertex AI as plain values: versions in the registry, the endpoint, its deployed models.

Independent of the SDK. ``live_state_reader.py`` reads it, ``steps.py`` says how each step changes it, ``plan.py``
compares it with the desired state.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import NamedTuple

DIGEST_DIGITS = 32  # of the 64 digits of a sha256: a label holds at most 63 characters, and half is unique enough


class VersionIdentity(NamedTuple):
    """The content of a version: artefact and prediction image, each by the first 32 hex digits of its sha256.

    Versions of equal identity are the same version, whatever their display names are.
    """

    artifact: str
    image: str

    def __str__(self):
        return f"sha256:{self.artifact[:12]} with image sha256:{self.image[:12]}"


@dataclasses.dataclass(frozen=True)
class ModelVersion:
    """A version of the model in the registry. ``identity`` is None for a version that this tool did not register.

    ``error_rates`` are in percent by name, from the imported evaluation; they are empty without one.
    """

    number: str
    identity: VersionIdentity | None
    aliases: frozenset[str] = frozenset()
    has_evaluation: bool = False
    error_rates: Mapping[str, float] = dataclasses.field(default_factory=dict, hash=False)


@dataclasses.dataclass(frozen=True)
class ServingConfig:
    """The machines and logs of a deployed model.

    Replicas, their CPU target and the container's log can be changed in place; the rest needs another deployment.
    """

    machine_type: str
    min_replicas: int
    max_replicas: int
    target_cpu: int
    service_account: str = ""
    access_logging: bool = False
    container_logging: bool = True

    @property
    def immutable_fields(self) -> tuple[str, str, bool]:
        """The values that only another deployment can change."""
        return self.machine_type, self.service_account, self.access_logging


@dataclasses.dataclass(frozen=True)
class DeployedModel:
    """A version that is deployed at the endpoint, under the id ``id``.

    ``identity`` is None for a foreign deployment, which this tool did not make. ``version`` is a number of the
    environment's model, or ``MODEL@NUMBER`` of another model.
    """

    id: str
    version: str
    identity: VersionIdentity | None
    serving_config: ServingConfig
    available_replicas: int | None = dataclasses.field(default=None, compare=False)


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """An endpoint. ``traffic_split`` is in percent by id of the deployed model; while empty, requests are refused."""

    is_dedicated: bool
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    deployed_models: tuple[DeployedModel, ...] = ()
    traffic_split: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def traffic_percentage(self, id: str) -> int:
        """Return the percentage of the requests that a deployed model gets."""
        return self.traffic_split.get(id, 0)

    def find_deployed(self, identity: VersionIdentity) -> list[DeployedModel]:
        """Return the deployed models of an identity, most traffic first."""
        models = [model for model in self.deployed_models if model.identity == identity]
        return sorted(models, key=lambda model: (-self.traffic_percentage(model.id), model.id))

    @property
    def foreign_models(self) -> list[DeployedModel]:
        """The deployed models that this tool did not deploy."""
        return [model for model in self.deployed_models if model.identity is None]

    @property
    def available_traffic(self) -> int:
        """The percentage of the requests that foreign models leave."""
        return 100 - sum(self.traffic_percentage(model.id) for model in self.foreign_models)

    def has_all_traffic(self, id: str) -> bool:
        """Whether a deployed model gets all requests that foreign models leave."""
        return 0 < self.traffic_percentage(id) == self.available_traffic

    def describe(self, id: str) -> str:
        """Describe a deployed model for people: ``version 2 (sha256:0123456789ab, id 1234567890)``."""
        model = next((model for model in self.deployed_models if model.id == id), None)
        if model is None:
            return f"a deployment (id {id})"
        if model.identity is None:
            return f"foreign {'model' if '@' in model.version else 'version'} {model.version} (id {id})"
        return f"version {model.version} (sha256:{model.identity.artifact[:12]}, id {id})"


@dataclasses.dataclass(frozen=True)
class LiveState:
    """Everything that a plan depends on.

    ``stored_artifacts`` are the artefacts that the store holds completely, as in ``VersionIdentity.artifact``.
    """

    stored_artifacts: frozenset[str] = frozenset()
    versions: tuple[ModelVersion, ...] = ()
    endpoint: Endpoint | None = None

    def find_version(self, identity: VersionIdentity | None) -> ModelVersion | None:
        """Return the version with the lowest number of an identity: one identity may be registered twice at a time."""
        versions = [version for version in self.versions if identity is not None and version.identity == identity]
        return min(versions, key=lambda version: int(version.number), default=None)

    def find_by_alias(self, alias: str) -> ModelVersion | None:
        """Return the version that has an alias."""
        return next((version for version in self.versions if alias in version.aliases), None)

    def describe_version(self, identity: VersionIdentity, id: str = "") -> str:
        """Describe the version of an identity for people, with the ``id`` of a deployed model if that is not empty."""
        version = self.find_version(identity)
        suffix = f", id {id}" if id else ""
        return f"version {version.number if version else 'to come'} (sha256:{identity.artifact[:12]}{suffix})"


def make_deployed_model_id(identity: VersionIdentity, serving_config: ServingConfig) -> str:
    """Return the id to deploy an identity under: ten digits, the first not 0, as Vertex AI requires.

    The id follows from the arguments, so a deployment whose reply was lost is not made twice.
    """
    content = "\0".join([*identity, *map(str, serving_config.immutable_fields)])
    return str(10**9 + int(hashlib.sha256(content.encode()).hexdigest(), 16) % (9 * 10**9))
