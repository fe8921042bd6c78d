"""What there is on Vertex AI, as plain values: versions in the registry, an endpoint, what answers there.

Knows neither the SDK nor what is wanted. ``vertex.py`` reads it from the cloud, ``plan.py`` compares it with what is
wanted and says what a step would make of it.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import NamedTuple

DIGITS = 32  # of a sha256: a label holds no more than 63 characters, half of one is unique enough


class Identity(NamedTuple):
    """What a version is: which artefact, answered by which image; the first 32 hex digits of their sha256.

    Never a display name: two versions of equal identity are the same version, whatever they are called.
    """

    artifact: str
    image: str

    def __str__(self):
        return f"sha256:{self.artifact[:12]} with image sha256:{self.image[:12]}"


@dataclasses.dataclass(frozen=True)
class Version:
    """One version of the model in the registry. ``identity`` is None for one that was not registered by us.

    ``errors`` are error rates in percent by name, from the imported evaluation; empty before there is one.
    """

    number: str
    identity: Identity | None
    aliases: frozenset[str] = frozenset()
    evaluated: bool = False
    errors: Mapping[str, float] = dataclasses.field(default_factory=dict, hash=False)


@dataclasses.dataclass(frozen=True)
class Serving:
    """On what a version answers. Replicas, their target and the container's log can be changed while it does."""

    machine: str
    min_replicas: int
    max_replicas: int
    target_cpu: int
    service_account: str = ""
    log_requests: bool = False
    log_container: bool = True

    @property
    def fixed(self) -> tuple[str, str, bool]:
        """What needs another deployment to change."""
        return self.machine, self.service_account, self.log_requests


@dataclasses.dataclass(frozen=True)
class Deployed:
    """One version answering at an endpoint; ``id`` is the endpoint's name for it. ``replicas`` are those available.

    ``identity`` is None for a foreign deployment, one that was not made by this tool. ``version`` is a number of the
    environment's model, or ``MODEL@NUMBER`` of another model.
    """

    id: str
    version: str
    identity: Identity | None
    serving: Serving
    replicas: int | None = dataclasses.field(default=None, compare=False)


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """``traffic`` is in percent by the ids of what is deployed; empty: no request is taken."""

    dedicated: bool
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    deployed: tuple[Deployed, ...] = ()
    traffic: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def share(self, id: str) -> int:
        """Percent of the requests."""
        return self.traffic.get(id, 0)

    def of(self, identity: Identity) -> list[Deployed]:
        """Where this identity answers, most traffic first."""
        found = [one for one in self.deployed if one.identity == identity]
        return sorted(found, key=lambda one: (-self.share(one.id), one.id))

    @property
    def foreign(self) -> list[Deployed]:
        """The deployments that were not made by this tool."""
        return [one for one in self.deployed if one.identity is None]

    @property
    def own_traffic(self) -> int:
        """Percent of the requests that foreign deployments leave."""
        return 100 - sum(self.share(one.id) for one in self.foreign)

    def serves(self, id: str) -> bool:
        """Whether a deployment has all requests that foreign deployments leave."""
        return 0 < self.share(id) == self.own_traffic

    def title(self, id: str) -> str:
        """A deployment for people: ``version 2 (sha256:0123456789ab, id 1234567890)``."""
        one = next((one for one in self.deployed if one.id == id), None)
        if one is None:
            return f"a deployment (id {id})"
        if one.identity is None:
            return f"foreign {'model' if '@' in one.version else 'version'} {one.version} (id {id})"
        return f"version {one.version} (sha256:{one.identity.artifact[:12]}, id {id})"


@dataclasses.dataclass(frozen=True)
class Live:
    """Everything that a plan looks at. ``stored`` are the artefacts complete in the store, by identity's digits."""

    stored: frozenset[str] = frozenset()
    versions: tuple[Version, ...] = ()
    endpoint: Endpoint | None = None

    def version(self, identity: Identity | None) -> Version | None:
        """The first version of an identity: where two were registered at the same time, everybody means the same."""
        found = [one for one in self.versions if identity is not None and one.identity == identity]
        return min(found, key=lambda one: int(one.number), default=None)

    def aliased(self, alias: str) -> Version | None:
        """The version that carries an alias."""
        return next((one for one in self.versions if alias in one.aliases), None)

    def title(self, identity: Identity, id: str = "") -> str:
        """The newest version of an identity for people, with the id of a deployment where one is given."""
        version = self.version(identity)
        where = f", id {id}" if id else ""
        return f"version {version.number if version else 'to come'} (sha256:{identity.artifact[:12]}{where})"


def deployed_id(identity: Identity, serving: Serving) -> str:
    """The id under which an identity is deployed on some machine: the same each time, so that a deployment whose reply
    was lost is not made twice. Ten digits are what Vertex AI takes, the first of them not 0."""
    fixed = "\0".join([*identity, *map(str, serving.fixed)])
    return str(10**9 + int(hashlib.sha256(fixed.encode()).hexdigest(), 16) % (9 * 10**9))
