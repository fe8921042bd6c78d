"""The steps a plan is made of, as data: what each is called, how it reads, and what it makes of the live state.

``after`` is the one description of what a step does; ``vertex.py`` does it, and the tests hold it to that. Knows no
SDK.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from deploy.live import Deployed, Endpoint, Identity, Live, Serving, Version


def _title() -> Any:
    """A field for what people read: ``titled`` fills it, and it makes no step another one."""
    return dataclasses.field(default="", compare=False)


@dataclasses.dataclass(frozen=True)
class Store:
    """Copy the artefact to its place in the store, which its sha256 names."""

    identity: Identity

    def __str__(self):
        return f"store artefact sha256:{self.identity.artifact[:12]}"

    def after(self, live: Live) -> Live:
        return dataclasses.replace(live, stored=live.stored | {self.identity.artifact})


@dataclasses.dataclass(frozen=True)
class Register:
    """Add a version to the model in the registry, or the model with its first version."""

    identity: Identity

    def __str__(self):
        return f"register artefact {self.identity}"

    def after(self, live: Live) -> Live:
        number = str(max((int(one.number) for one in live.versions), default=0) + 1)
        aliases = frozenset() if live.versions else frozenset({"default"})
        return dataclasses.replace(live, versions=(*live.versions, Version(number, self.identity, aliases)))


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Import the artefact's published numbers as the version's evaluation."""

    identity: Identity
    version: str = _title()

    def __str__(self):
        return f"import the evaluation of {self.version or self.identity}"

    def after(self, live: Live) -> Live:
        wanted = live.version(self.identity)
        return _with_versions(live, lambda one: dataclasses.replace(one, evaluated=one.evaluated or one is wanted))


@dataclasses.dataclass(frozen=True)
class Alias:
    """Give an alias to a version, which takes it from the one that had it; without an identity, just take it."""

    alias: str
    identity: Identity | None
    version: str = _title()

    def __str__(self):
        if self.identity:
            return f"alias {self.alias!r} to {self.version or self.identity}"
        return f"take alias {self.alias!r} away" + (f" from {self.version}" if self.version else "")

    def after(self, live: Live) -> Live:
        wanted = live.version(self.identity)

        def changed(one: Version) -> Version:
            aliases = one.aliases - {self.alias} | ({self.alias} if one is wanted else set())
            return dataclasses.replace(one, aliases=frozenset(aliases))

        return _with_versions(live, changed)


@dataclasses.dataclass(frozen=True)
class CreateEndpoint:
    """Make the endpoint. It costs nothing until something is deployed there."""

    dedicated: bool
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __str__(self):
        return f"create the endpoint ({'dedicated' if self.dedicated else 'shared'})"

    def after(self, live: Live) -> Live:
        return dataclasses.replace(live, endpoint=live.endpoint or Endpoint(self.dedicated, dict(self.labels)))


@dataclasses.dataclass(frozen=True)
class Label:
    """Give the endpoint these labels."""

    labels: Mapping[str, str]

    def __str__(self):
        return "label the endpoint: " + (", ".join(f"{k}={v}" for k, v in sorted(self.labels.items())) or "no labels")

    def after(self, live: Live) -> Live:
        return _with_endpoint(live, labels=dict(self.labels))


@dataclasses.dataclass(frozen=True)
class Deploy:
    """Start a version at the endpoint. Only where nobody has traffic it takes all of it at once."""

    id: str
    identity: Identity
    serving: Serving
    version: str = _title()

    def __str__(self):
        on = self.serving
        return f"deploy {self.version or self.identity} on {on.min_replicas} to {on.max_replicas} x {on.machine}"

    def after(self, live: Live) -> Live:
        endpoint, version = live.endpoint, live.version(self.identity)
        assert endpoint is not None  # noqa: S101 - plans are made in this order
        assert version is not None  # noqa: S101
        if any(one.id == self.id for one in endpoint.deployed):
            return live
        started = Deployed(self.id, version.number, self.identity, self.serving)
        traffic = endpoint.traffic or {self.id: 100}
        return _with_endpoint(live, deployed=(*endpoint.deployed, started), traffic=traffic)


@dataclasses.dataclass(frozen=True)
class Resize:
    """Change replicas and autoscaling of what is deployed."""

    id: str
    serving: Serving
    version: str = _title()

    def __str__(self):
        on, what = self.serving, self.version or f"a deployment (id {self.id})"
        return f"resize {what} to {on.min_replicas} to {on.max_replicas} replicas, CPU target {on.target_cpu} %"

    def after(self, live: Live) -> Live:
        assert live.endpoint is not None  # noqa: S101
        changed = [
            dataclasses.replace(one, serving=self.serving) if one.id == self.id else one
            for one in live.endpoint.deployed
        ]
        return _with_endpoint(live, deployed=tuple(changed))


@dataclasses.dataclass(frozen=True)
class Traffic:
    """Divide the requests, in percent; nothing: take none."""

    split: Mapping[str, int]
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict, compare=False)

    def __str__(self):
        by_share = sorted(self.split.items(), key=lambda of: -of[1])
        shares = [f"{share} % to {self.versions.get(id) or f'a deployment (id {id})'}" for id, share in by_share]
        return f"traffic: {', '.join(shares) or 'none'}"

    def after(self, live: Live) -> Live:
        return _with_endpoint(live, traffic=dict(self.split))


@dataclasses.dataclass(frozen=True)
class Smoke:
    """Ask the endpoint about the artefact's golden images until this deployment has answered each of them."""

    id: str
    identity: Identity
    version: str = _title()

    def __str__(self):
        what = self.version or self.identity
        return f"smoke: {what} has to answer its golden images as it did when it was exported"

    def after(self, live: Live) -> Live:
        return live


@dataclasses.dataclass(frozen=True)
class Undeploy:
    """Stop what has no traffic."""

    id: str
    version: str = _title()

    def __str__(self):
        return f"undeploy {self.version or f'a deployment (id {self.id})'}"

    def after(self, live: Live) -> Live:
        assert live.endpoint is not None  # noqa: S101
        left = tuple(one for one in live.endpoint.deployed if one.id != self.id)
        return _with_endpoint(live, deployed=left, traffic=live.endpoint.traffic if left else {})


@dataclasses.dataclass(frozen=True)
class DeleteEndpoint:
    """Remove the endpoint, where nothing is deployed."""

    def __str__(self):
        return "delete the endpoint"

    def after(self, live: Live) -> Live:
        return dataclasses.replace(live, endpoint=None)


Step = (
    Store | Register | Evaluate | Alias | CreateEndpoint | Label | Deploy | Resize | Traffic | Smoke | Undeploy
    | DeleteEndpoint
)  # fmt: skip
KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in Step.__args__}


def titled(step: Step, live: Live) -> Step:
    """The step with the versions that it touches as ``live`` names them, for people."""
    if isinstance(step, Traffic):
        return dataclasses.replace(step, versions={id: _deployment(live, id) for id in step.split})
    if isinstance(step, Resize | Undeploy):
        return dataclasses.replace(step, version=_deployment(live, step.id))
    if isinstance(step, Deploy | Smoke):
        return dataclasses.replace(step, version=live.title(step.identity, step.id))
    if isinstance(step, Evaluate):
        return dataclasses.replace(step, version=live.title(step.identity))
    if isinstance(step, Alias):
        had = live.aliased(step.alias)
        foreign = f"foreign version {had.number}" if had else ""
        identity = step.identity or (had.identity if had else None)
        return dataclasses.replace(step, version=live.title(identity) if identity else foreign)
    return step


def _deployment(live: Live, id: str) -> str:
    return live.endpoint.title(id) if live.endpoint else ""


def describe(step: Step) -> dict[str, Any]:
    """As JSON; ``read`` is its inverse."""
    return {"step": type(step).__name__, **dataclasses.asdict(step)}


def read(described: Mapping[str, Any]) -> Step:
    """Raises ``KeyError`` or ``TypeError`` for what is no step."""
    values = dict(described)
    kind = KINDS[values.pop("step")]
    if values.get("identity") is not None and "identity" in values:
        values["identity"] = Identity(*values["identity"])
    if "serving" in values:
        values["serving"] = Serving(**values["serving"])
    return kind(**values)


def _with_versions(live: Live, change) -> Live:
    return dataclasses.replace(live, versions=tuple(map(change, live.versions)))


def _with_endpoint(live: Live, **changes) -> Live:
    assert live.endpoint is not None  # noqa: S101 - plans are made in this order
    return dataclasses.replace(live, endpoint=dataclasses.replace(live.endpoint, **changes))
