"""Random live and desired states for property tests of plans, and an executor in memory that can crash."""

import dataclasses
import random
from collections.abc import Sequence

from deploy.desired_state import DesiredState
from deploy.live_state import (
    DeployedModel,
    Endpoint,
    LiveState,
    ModelVersion,
    ServingConfig,
    VersionIdentity,
    make_deployed_model_id,
)
from deploy.plan import ImpossiblePlan, Plan, diff
from deploy.steps import Step

IDENTITIES = [VersionIdentity(a * 32, i * 32) for a in "abc" for i in "12"]
SERVING_CONFIGS = [
    ServingConfig("n1-standard-2", 1, 3, 60),
    ServingConfig("n1-standard-2", 2, 4, 60),
    ServingConfig("n1-standard-4", 1, 3, 60),
]
ALIASES = ("champion", "champion-before", "challenger", "staging")


class Crash(BaseException):
    """The process that applies a plan dies, before or after a step takes effect."""


def make_live_state(rng: random.Random, identities: Sequence[VersionIdentity] = IDENTITIES) -> LiveState:
    """Return any live state: with duplicate versions, manual deployments, unfinished canaries, without traffic."""
    chosen = [rng.choice([*identities, None]) for _ in range(rng.randint(0, 5))]
    versions = [
        ModelVersion(str(number), identity, has_evaluation=rng.random() < 0.5)
        for number, identity in enumerate(chosen, start=1)
    ]
    for alias in ALIASES:
        if versions and rng.random() < 0.6:
            index = rng.randrange(len(versions))
            versions[index] = dataclasses.replace(versions[index], aliases=versions[index].aliases | {alias})
    stored = frozenset(identity.artifact for identity in chosen if identity and rng.random() < 0.8)
    return LiveState(stored, tuple(versions), make_endpoint(rng, versions) if rng.random() < 0.8 else None)


def make_endpoint(rng: random.Random, versions: list[ModelVersion]) -> Endpoint:
    deployed: dict[str, DeployedModel] = {}
    for number in range(rng.randint(0, 4) if versions else 0):
        version, config = rng.choice(versions), rng.choice(SERVING_CONFIGS)
        has_regular_id = version.identity and rng.random() < 0.7
        id = make_deployed_model_id(version.identity, config) if has_regular_id else str(number + 1)
        deployed[id] = DeployedModel(id, version.number, version.identity, config)
    return Endpoint(True, rng.choice([{}, {"team": "a"}]), tuple(deployed.values()), make_split(rng, list(deployed)))


def make_split(rng: random.Random, ids: list[str]) -> dict[str, int]:
    with_traffic = [id for id in ids if rng.random() < 0.7]
    if not with_traffic or rng.random() < 0.1:
        return {}
    cuts = sorted(rng.sample(range(1, 100), len(with_traffic) - 1))
    return {id: high - low for id, low, high in zip(with_traffic, [0, *cuts], [*cuts, 100], strict=True)}


def make_desired_state(rng: random.Random, identities: Sequence[VersionIdentity] = IDENTITIES) -> DesiredState:
    """Return any desired state: a canary, a promotion, all traffic at once, a teardown."""
    return DesiredState(
        rng.choice([*identities, *identities, None]),
        rng.choice(SERVING_CONFIGS),
        labels={"team": "a"},
        traffic_stages=rng.choice([(100,), (10,), (50,), (10, 50, 100)]),
        with_smoke_tests=rng.random() < 0.5,
        keep_previous=rng.random() < 0.5,
        remove_foreign=rng.random() < 0.7,
    )


def plan_unless_foreign(desired: DesiredState, live: LiveState) -> Plan | None:
    """Return the plan; None where foreign models that may not be removed prevent it."""
    try:
        return diff(desired, live)
    except ImpossiblePlan as error:
        message = str(error)
    foreign = {model.id: live.endpoint.traffic_percentage(model.id) for model in live.endpoint.foreign_models}
    assert foreign
    assert not desired.remove_foreign
    assert desired.identity is None or max(desired.traffic_stages) + sum(foreign.values()) > 100
    assert "--remove-foreign" in message
    assert all(f"(id {id}) with {percentage} % of the traffic" in message for id, percentage in foreign.items())
    return None


class InMemoryExecutor:
    """An executor that applies steps to a state in memory.

    After ``steps_until_crash`` steps the next one crashes, with its effect if ``crash_takes_effect``.
    ``check(before, step, after)`` is called for every step.
    """

    def __init__(
        self,
        live: LiveState,
        steps_until_crash: int | None = None,
        crash_takes_effect: bool = False,
        check=lambda before, step, after: None,
    ):
        self.live, self.check = live, check
        self.steps_until_crash, self.crash_takes_effect = steps_until_crash, crash_takes_effect

    def read_live_state(self) -> LiveState:
        return self.live

    def execute(self, step: Step) -> None:
        if self.steps_until_crash == 0:
            self.steps_until_crash = None
            if self.crash_takes_effect:
                self._apply(step)
            raise Crash(str(step))
        if self.steps_until_crash is not None:
            self.steps_until_crash -= 1
        self._apply(step)

    def _apply(self, step: Step) -> None:
        before, self.live = self.live, step.apply_to(self.live)
        self.check(before, step, self.live)
