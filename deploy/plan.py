"""Plans: the steps from the live state to the desired state. Pure functions, so that a plan can be read before it runs.

``diff`` guarantees, for every prefix of its steps: traffic sums to 100 or there is none, and no deployed model with
traffic is undeployed. From any state that an interrupted plan leaves, the next plan leads to the same final state.
Independent of the SDK. Next: ``apply.py`` applies plans.
"""

import dataclasses
from collections.abc import Mapping

from deploy.desired_state import DesiredState
from deploy.live_state import DeployedModel, Endpoint, LiveState, ModelVersion, VersionIdentity, make_deployed_model_id
from deploy.steps import (
    CreateEndpoint,
    DeleteEndpoint,
    Deploy,
    ImportEvaluation,
    RegisterVersion,
    Resize,
    RunSmokeTest,
    SetAlias,
    SetLabels,
    SetTraffic,
    Step,
    StoreArtifact,
    Undeploy,
    add_version_titles,
)
from deploy.traffic_split import rebalance
from trainer.console.errors import UserError


class ImpossiblePlan(UserError):
    """No steps lead from the live state to the desired state; the message says why."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """``steps`` in order; ``skipped`` steps, each with the reason; the state that the steps lead to."""

    steps: tuple[Step, ...]
    skipped: tuple[str, ...]
    final_state: LiveState


def diff(desired: DesiredState, live: LiveState) -> Plan:
    """Return the steps from the live state to the desired state. Raises ``ImpossiblePlan``."""
    _check_foreign_models(desired, live.endpoint)
    planner = _Planner(desired, live)
    if desired.identity is None:
        planner.remove_endpoint()
    else:
        _check_rollback_target(desired, live)
        planner.plan_version(desired.identity)
    return Plan(tuple(planner.steps), tuple(planner.skipped), planner.live)


def _check_rollback_target(desired: DesiredState, live: LiveState) -> None:
    """Require endpoint and version of a rollback, which creates neither. Raises ``ImpossiblePlan``."""
    if desired.is_rollback and (live.endpoint is None or live.find_version(desired.identity) is None):
        raise ImpossiblePlan("the endpoint, or the version to return to, is not there any more; look with 'status'")


def _check_foreign_models(desired: DesiredState, endpoint: Endpoint | None) -> None:
    """Refuse a plan that would displace foreign models without permission. Raises ``ImpossiblePlan``."""
    if endpoint is None or not endpoint.foreign_models or desired.remove_foreign:
        return
    models = [
        f"{endpoint.describe(model.id)} with {endpoint.traffic_percentage(model.id)} % of the traffic"
        for model in endpoint.foreign_models
    ]
    problem = f"this tool did not deploy everything at the endpoint: {', '.join(models)}"
    if desired.identity is None:
        raise ImpossiblePlan(f"{problem}. To remove that with the endpoint, give --remove-foreign")
    available, requested = endpoint.available_traffic, max(desired.traffic_stages)
    if requested > available and not (desired.is_rollback and available):
        can_share = available and len(desired.traffic_stages) == 1
        raise ImpossiblePlan(
            f"{problem}. It keeps its traffic, so a version of this model can have {available} %, not {requested} %. "
            "To take its traffic and undeploy it, give --remove-foreign"
            + (f"; to leave it, give --traffic-percentage {available} or less" if can_share else "")
        )


class _Planner:
    """Collects steps; ``live`` is the state that the steps so far lead to."""

    def __init__(self, desired: DesiredState, live: LiveState):
        self.desired, self.live = desired, live
        self.steps: list[Step] = []
        self.skipped: list[str] = []

    @property
    def endpoint(self) -> Endpoint:
        assert self.live.endpoint is not None  # noqa: S101 - an earlier step creates it
        return self.live.endpoint

    @property
    def serving_version(self) -> ModelVersion | None:
        return self.live.find_by_alias(self.desired.serving_alias)

    def add(self, *steps: Step) -> None:
        for step in steps:
            self.steps.append(add_version_titles(step, self.live))
            self.live = step.apply_to(self.live)

    def add_unless(self, is_done: object, step: Step, reason: str) -> None:
        if is_done:
            self.skipped.append(f"{add_version_titles(step, self.live)}: {reason}")
        else:
            self.add(step)

    def plan_version(self, identity: VersionIdentity) -> None:
        """Plan all steps for a version. Traffic comes before aliases, and aliases that mark progress go last."""
        if not self.desired.is_rollback:
            self.register(identity)
            self.prepare_endpoint()
        id = self.deploy(identity)
        self.set_candidate_alias(identity, id)
        self.move_traffic(identity, id)
        self.set_alias(identity, id)
        self.undeploy_idle_models(id)
        self.remove_stale_aliases()

    def remove_endpoint(self) -> None:
        if self.live.endpoint is None:
            self.skipped.append("delete the endpoint: there is none")
            return
        if self.endpoint.traffic_split:
            self.add(SetTraffic({}))
        self.add(*(Undeploy(model.id) for model in self.endpoint.deployed_models), DeleteEndpoint())
        if self.live.find_by_alias(self.desired.candidate_alias):
            self.add(SetAlias(self.desired.candidate_alias, None))

    def register(self, identity: VersionIdentity) -> None:
        version = self.live.find_version(identity)
        is_stored = identity.artifact in self.live.stored_artifacts
        self.add_unless(is_stored, StoreArtifact(identity), "it is there, complete")
        reason = f"version {version.number} is this identity" if version else ""
        self.add_unless(version, RegisterVersion(identity), reason)
        self.add_unless(version and version.has_evaluation, ImportEvaluation(identity), "the version has one")

    def prepare_endpoint(self) -> None:
        """Create the endpoint or set its labels. Raises ``ImpossiblePlan`` where its kind would have to change."""
        endpoint, desired = self.live.endpoint, self.desired
        if endpoint and endpoint.is_dedicated != desired.is_dedicated:
            kinds = {True: "dedicated", False: "shared"}
            raise ImpossiblePlan(
                f"the endpoint is {kinds[endpoint.is_dedicated]} and cannot become {kinds[desired.is_dedicated]}; "
                "choose another endpoint id, or tear this one down first"
            )
        labels = dict(desired.labels)
        self.add_unless(endpoint, CreateEndpoint(desired.is_dedicated, labels), "it exists")
        if endpoint:
            self.add_unless(dict(endpoint.labels) == labels, SetLabels(labels), "it has them")

    def deploy(self, identity: VersionIdentity) -> str:
        """Deploy the version on the desired machines; return the id of the deployed model."""
        config = self.desired.serving_config
        models = [
            model
            for model in self.endpoint.find_deployed(identity)
            if model.serving_config.immutable_fields == config.immutable_fields
        ]
        id = models[0].id if models else make_deployed_model_id(identity, config)
        self.add_unless(models, Deploy(id, identity, config), "it is deployed already")
        if models:
            self.add_unless(models[0].serving_config == config, Resize(id, config), "it has that size")
        return id

    def set_candidate_alias(self, identity: VersionIdentity, id: str) -> None:
        """Mark the version before it takes traffic from another: an interrupted rollback depends on this alias."""
        desired, serving = self.desired, self.serving_version
        has_incumbent = serving and serving.identity != identity
        gains_traffic = self.endpoint.traffic_percentage(id) < desired.traffic_stages[-1]
        if has_incumbent and gains_traffic and not desired.is_rollback:
            candidate = self.live.find_by_alias(desired.candidate_alias)
            is_set = candidate and candidate is self.live.find_version(identity)
            self.add_unless(is_set, SetAlias(desired.candidate_alias, identity), "it has it")

    def move_traffic(self, identity: VersionIdentity, id: str) -> None:
        """Move traffic through the stages; a version that has more traffic already keeps it."""
        desired, split_before = self.desired, self.endpoint.traffic_split
        deployed_count = len(self.endpoint.find_deployed(identity))
        is_first = any(isinstance(step, Deploy) for step in self.steps) and self.endpoint.traffic_percentage(id) == 100
        if is_first:
            step = add_version_titles(SetTraffic({id: 100}), self.live)
            self.skipped.append(f"{step}: where nothing has traffic, the deployment takes all of it")
        for stage in () if is_first else desired.traffic_stages:
            current = self.endpoint.traffic_percentage(id)
            if desired.with_smoke_tests and 0 < current < stage:
                self.add(RunSmokeTest(id, identity))
            foreign = {} if desired.remove_foreign else self._foreign_traffic()
            available = 100 - sum(foreign.values())
            percentage = min(stage, available)  # less only in a rollback; other plans are refused before
            others = {other: share for other, share in self._traffic_of_others().items() if other not in foreign}
            split = {
                **{other: share for other, share in foreign.items() if share},
                **rebalance(others, id, percentage, available),
            }
            self.add_unless(current >= percentage, SetTraffic(split), f"it has {current} % already")
        version = self.live.find_version(identity)
        has_alias = version and self._alias_for(identity, id) in version.aliases
        changes_machine = self.endpoint.has_all_traffic(id) and deployed_count > 1  # the other one is undeployed later
        has_moved = self.endpoint.traffic_split != split_before
        if desired.with_smoke_tests and (has_moved or not has_alias or changes_machine):
            self.add(RunSmokeTest(id, identity))

    def _foreign_traffic(self) -> dict[str, int]:
        return {model.id: self.endpoint.traffic_percentage(model.id) for model in self.endpoint.foreign_models}

    def _traffic_of_others(self) -> Mapping[str, int]:
        """Return the traffic that others keep in proportion: that of the serving version if it has any, else all.

        Other canaries lose their traffic.
        """
        endpoint, serving = self.endpoint, self.serving_version
        serving_ids = {model.id for model in endpoint.deployed_models if serving and model.version == serving.number}
        split = {id: endpoint.traffic_percentage(id) for id in endpoint.traffic_split if id in serving_ids}
        return split if any(split.values()) else endpoint.traffic_split

    def _alias_for(self, identity: VersionIdentity, id: str) -> str:
        """Return the alias that goes with the traffic; the serving version keeps its alias on another machine."""
        serving = self.serving_version
        is_serving = self.endpoint.has_all_traffic(id) or (serving and serving.identity == identity)
        return self.desired.serving_alias if is_serving else self.desired.candidate_alias

    def set_alias(self, identity: VersionIdentity, id: str) -> None:
        """Set the alias that goes with the traffic, and mark the replaced version as the rollback target."""
        desired, alias = self.desired, self._alias_for(identity, id)
        version, current = self.live.find_version(identity), self.live.find_by_alias(alias)
        is_replaced = alias == desired.serving_alias and current and current.identity not in (None, identity)
        if is_replaced and current and not desired.is_rollback:
            is_set = current is self.live.find_by_alias(desired.previous_alias)
            self.add_unless(is_set, SetAlias(desired.previous_alias, current.identity), "it has it")
        self.add_unless(current and current is version, SetAlias(alias, identity), "it has it")

    def undeploy_idle_models(self, id: str) -> None:
        """Undeploy models without traffic, except ``id``, the rollback target and foreign models."""
        endpoint, desired = self.endpoint, self.desired
        target = self._deployed_rollback_target(id)
        for model in endpoint.deployed_models:
            if model.identity is None and not desired.remove_foreign:
                reason = "this tool did not deploy it; --remove-foreign takes its traffic and undeploys it"
                self.skipped.append(f"undeploy {endpoint.describe(model.id)}: {reason}")
                continue
            if endpoint.traffic_percentage(model.id):
                continue
            if model == target:
                self.skipped.append(f"undeploy {endpoint.describe(model.id)}: it is kept, to roll back to")
            elif model.id != id:
                self.add(Undeploy(model.id))

    def _deployed_rollback_target(self, id: str) -> DeployedModel | None:
        """Return the deployed model to keep for a rollback; none for a canary, whose target is the serving version."""
        desired, previous = self.desired, self.live.find_by_alias(self.desired.previous_alias)
        if not desired.keep_previous or not self.endpoint.has_all_traffic(id) or not previous:
            return None
        if not previous.identity or previous.identity == desired.identity:
            return None
        return next(iter(self.endpoint.find_deployed(previous.identity)), None)

    def remove_stale_aliases(self) -> None:
        """Remove aliases that no longer apply. This comes last: until then they show what is under way."""
        desired, serving = self.desired, self.serving_version
        candidate = self.live.find_by_alias(desired.candidate_alias)
        if candidate and (candidate is serving or desired.is_rollback or not self._is_deployed(candidate)):
            self.add(SetAlias(desired.candidate_alias, None))
        previous = self.live.find_by_alias(desired.previous_alias)
        if previous and previous is self.serving_version and desired.is_rollback:
            self.add(SetAlias(desired.previous_alias, None))

    def _is_deployed(self, version: ModelVersion) -> bool:
        endpoint = self.live.endpoint
        return bool(endpoint and version.identity and endpoint.find_deployed(version.identity))
