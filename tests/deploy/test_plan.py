"""Plans converge from any state, also after a crash, and never leave a request unanswered on the way."""

import dataclasses
import random
import re

import pytest

from deploy import steps
from deploy.apply import apply_plan
from deploy.desired_state import DesiredState
from deploy.live_state import DeployedModel, Endpoint, LiveState, ModelVersion, ServingConfig, VersionIdentity
from deploy.plan import ImpossiblePlan, diff
from deploy.steps import (
    CreateEndpoint,
    Deploy,
    ImportEvaluation,
    RegisterVersion,
    Resize,
    RunSmokeTest,
    SetAlias,
    SetTraffic,
    StoreArtifact,
    Undeploy,
)
from deploy.traffic_split import rebalance
from tests.deploy import random_states
from tests.deploy.random_states import InMemoryExecutor

STATES = 2000
A, B, C = random_states.IDENTITIES[:3]
SMALL, MORE_REPLICAS, LARGE = random_states.SERVING_CONFIGS


def ignore_line(line: str) -> None:
    pass


def check_requests_are_answered(before: LiveState, step, after: LiveState):
    """Check what holds after every step of a plan."""
    for live in (before, after):
        if live.endpoint:
            assert sum(live.endpoint.traffic_split.values()) in (0, 100)
            assert set(live.endpoint.traffic_split) <= {model.id for model in live.endpoint.deployed_models}
    if before.endpoint and before.endpoint.traffic_split and after.endpoint:
        assert after.endpoint.traffic_split or step == SetTraffic({}), "an endpoint that answers goes on answering"
    if isinstance(step, Undeploy):
        assert before.endpoint.traffic_percentage(step.deployed_model_id) == 0, "no model with traffic is undeployed"


def check_foreign_models_stay(before: LiveState, step, after: LiveState):
    """Check what holds after every step of a plan that may not remove foreign models."""
    check_requests_are_answered(before, step, after)
    assert foreign_traffic(before) == foreign_traffic(after), (
        "no foreign model is undeployed, and each keeps its traffic"
    )


def foreign_traffic(live: LiveState) -> dict[str, int]:
    endpoint = live.endpoint
    return {model.id: endpoint.traffic_percentage(model.id) for model in endpoint.foreign_models} if endpoint else {}


def is_reached(desired: DesiredState, live: LiveState) -> bool:
    """Whether the live state is the desired one; written independently of the code that plans."""
    if desired.identity is None:
        return live.endpoint is None
    endpoint = live.endpoint
    models = [
        model for model in endpoint.find_deployed(desired.identity) if model.serving_config == desired.serving_config
    ]
    percentage = max((endpoint.traffic_percentage(model.id) for model in models), default=0)
    staying = [] if desired.remove_foreign else [model.id for model in endpoint.foreign_models]
    others = [model for model in endpoint.deployed_models if model not in models and model.id not in staying]
    idle = [model for model in others if not endpoint.traffic_percentage(model.id)]
    version = live.find_version(desired.identity)
    available = 100 - sum(foreign_traffic(live).values())
    alias = desired.serving_alias if percentage == available else desired.candidate_alias
    serving = live.find_by_alias(desired.serving_alias)
    # The serving version on another machine is no candidate.
    needs_no_alias = percentage < available and serving and serving.identity == desired.identity
    return (
        percentage >= desired.traffic_stages[-1]
        and sum(endpoint.traffic_split.values()) == 100
        and len(idle) <= desired.keep_previous
        and version.has_evaluation
        and desired.identity.artifact in live.stored_artifacts
        and (needs_no_alias or [candidate for candidate in live.versions if alias in candidate.aliases] == [version])
        and endpoint.labels == desired.labels
    )


def make_random_case(seed: int) -> tuple[random.Random, LiveState, DesiredState]:
    """Return a live and a desired state, in some cases with a foreign model."""
    rng = random.Random(seed)
    live, desired = random_states.make_live_state(rng), random_states.make_desired_state(rng)
    return rng, add_foreign_model(live, rng.choice([0, 1, 40, 100])) if rng.random() < 0.3 else live, desired


@pytest.mark.slow
@pytest.mark.parametrize("quarter", [0, *(pytest.param(quarter, marks=pytest.mark.slow) for quarter in (1, 2, 3))])
def test_from_any_state_crashed_at_any_step_plan_and_apply_converge(quarter):
    crashes = 0
    for seed in range(quarter, STATES, 4):
        rng, start, desired = make_random_case(seed)
        plan = random_states.plan_unless_foreign(desired, start)
        if plan is None:
            continue
        check = check_requests_are_answered if desired.remove_foreign else check_foreign_models_stay
        for number in range(len(plan.steps)):
            executor = InMemoryExecutor(start, number, crash_takes_effect=rng.random() < 0.5)
            with pytest.raises(random_states.Crash):
                apply_plan(desired, plan, executor, ignore_line)
            next_plan = diff(desired, executor.live)
            executor.check = check
            assert apply_plan(desired, next_plan, executor, ignore_line) == len(next_plan.steps)
            assert is_reached(desired, executor.live), (seed, number)
            last_plan = diff(desired, executor.live)
            assert apply_plan(desired, last_plan, executor, ignore_line) == 0, "the second time does nothing"
            crashes += 1
    assert crashes > STATES / 4, "there were enough crashes"


@pytest.mark.parametrize("quarter", range(4))
def test_on_every_prefix_of_a_plan_requests_are_answered(quarter):
    step_types, with_foreign = set(), 0
    for seed in range(quarter, STATES, 4):
        _, start, desired = make_random_case(seed)
        plan = random_states.plan_unless_foreign(desired, start)
        if plan is None:
            continue
        with_foreign += bool(not desired.remove_foreign and foreign_traffic(start))
        check = check_requests_are_answered if desired.remove_foreign else check_foreign_models_stay
        executor = InMemoryExecutor(start, check=check)
        apply_plan(desired, plan, executor, ignore_line)
        assert executor.live == plan.final_state
        assert is_reached(desired, executor.live), seed
        assert not diff(desired, executor.live).steps, seed
        assert all(steps.from_json(steps.to_json(step)) == step for step in plan.steps)
        step_types |= {type(step) for step in plan.steps}
        for text in (*map(str, plan.steps), *plan.skipped):
            assert not re.search(r"(?<!id )\b\d{10}\b", text), f"{text}: a bare id"
            assert "(id " not in text or "foreign" in text, f"{text}: an id without its version"
        for step in plan.steps:
            if isinstance(step, ImportEvaluation | SetAlias | Deploy | Resize | RunSmokeTest | Undeploy):
                assert re.search(r"version \d+ \((sha256:[0-9a-f]{12}|id )|foreign", str(step)), str(step)
    assert with_foreign >= 10, "some cases have foreign models that stay"
    assert step_types == set(steps.STEP_TYPES.values()), "the cases have every type of step"


def test_the_first_plan_registers_creates_deploys_and_sets_the_alias():
    plan = diff(DesiredState(A, SMALL), LiveState())
    expected = [StoreArtifact, RegisterVersion, ImportEvaluation, CreateEndpoint, Deploy, SetAlias]
    assert [type(step) for step in plan.steps] == expected
    assert plan.steps[-1] == SetAlias("champion", A)


def serving_state(identity: VersionIdentity, config: ServingConfig = SMALL, **changes) -> LiveState:
    """Return the state in which a version has been deployed first."""
    return diff(DesiredState(identity, config, **changes), LiveState()).final_state


def deployed_identities(live: LiveState) -> list[VersionIdentity | None]:
    return [model.identity for model in live.endpoint.deployed_models]


def traffic_by_identity(live: LiveState) -> dict[VersionIdentity | None, int]:
    return {model.identity: live.endpoint.traffic_percentage(model.id) for model in live.endpoint.deployed_models}


def test_a_canary_gets_its_percentage_and_the_champion_stays():
    plan = diff(DesiredState(B, SMALL, traffic_stages=(10,)), serving_state(A))
    (canary,) = [step.deployed_model_id for step in plan.steps if isinstance(step, Deploy)]
    (champion,) = plan.final_state.endpoint.find_deployed(A)
    split = {champion.id: 90, canary: 10}
    assert plan.final_state.endpoint.traffic_split == split
    assert plan.steps[-2:] == (SetAlias("challenger", B), SetTraffic(split)), "the alias comes first"


def test_a_promotion_runs_the_smoke_test_before_each_stage_and_at_the_end():
    live = diff(DesiredState(B, SMALL, traffic_stages=(10,)), serving_state(A)).final_state
    plan = diff(DesiredState(B, SMALL, traffic_stages=(10, 50, 100), with_smoke_tests=True), live)
    step_types = [type(step) for step in plan.steps if isinstance(step, RunSmokeTest | SetTraffic)]
    assert step_types == [RunSmokeTest, SetTraffic, RunSmokeTest, SetTraffic, RunSmokeTest]
    assert SetAlias("champion", B) in plan.steps
    assert SetAlias("champion-before", A) in plan.steps
    assert SetAlias("challenger", None) in plan.steps


def test_a_complete_promotion_changes_nothing():
    desired = DesiredState(B, SMALL, traffic_stages=(10, 50, 100), with_smoke_tests=True)
    assert diff(desired, diff(desired, serving_state(A)).final_state).steps == ()


@pytest.mark.parametrize("keep_previous", [True, False])
def test_the_previous_version_stays_deployed_only_with_keep_previous(keep_previous):
    final_state = diff(DesiredState(B, SMALL, keep_previous=keep_previous), serving_state(A)).final_state
    assert deployed_identities(final_state) == ([A, B] if keep_previous else [B])


def test_a_canary_keeps_the_serving_version_as_rollback_target_and_none_before_it():
    replaced = diff(DesiredState(B, SMALL), serving_state(A)).final_state
    assert deployed_identities(replaced) == [A, B]
    canary = diff(DesiredState(C, SMALL, traffic_stages=(10,)), replaced).final_state
    assert deployed_identities(canary) == [B, C]


def test_replicas_change_in_place_and_a_machine_by_another_deployment():
    assert [type(step) for step in diff(DesiredState(A, MORE_REPLICAS), serving_state(A)).steps] == [Resize]
    plan = diff(DesiredState(A, LARGE), serving_state(A))
    assert [type(step) for step in plan.steps] == [Deploy, SetTraffic, Undeploy]


def test_an_endpoint_of_the_other_kind_is_an_error_with_a_message():
    with pytest.raises(ImpossiblePlan, match="is dedicated and cannot become shared"):
        diff(DesiredState(A, SMALL, is_dedicated=False), serving_state(A))


def test_steps_that_are_not_needed_are_listed_with_the_reason():
    skipped = diff(DesiredState(A, SMALL), serving_state(A)).skipped
    assert any("version 1 is this identity" in reason for reason in skipped)
    assert all(": " in reason for reason in skipped)


@pytest.mark.parametrize("percentage", [1, 10, 33, 50, 99])
def test_a_rebalanced_split_sums_to_100_and_keeps_the_proportions_of_the_others(percentage):
    for before in ({"a": 100}, {"a": 60, "b": 40}, {"a": 34, "b": 33, "c": 33}, {"a": 1, "b": 99, "x": 0}, {"x": 70}):
        split = rebalance(before, "x", percentage)
        assert sum(split.values()) == 100
        others = {id: old for id, old in before.items() if old and id != "x"}
        assert split["x"] == (percentage if others else 100)
        for id, old in others.items():
            assert abs(split.get(id, 0) - old * (100 - percentage) / sum(others.values())) < 1


def add_foreign_model(live: LiveState, percentage: int, version: str = "other@1") -> LiveState:
    """Return the state with a foreign model; the others keep their proportions of the remaining traffic."""
    endpoint = live.endpoint or Endpoint(True)
    split = endpoint.traffic_split
    endpoint = dataclasses.replace(
        endpoint,
        deployed_models=(*endpoint.deployed_models, DeployedModel("77", version, None, SMALL)),
        traffic_split=rebalance(split, "77", percentage) if percentage else split,
    )
    return dataclasses.replace(live, endpoint=endpoint)


@pytest.mark.parametrize(
    ("version", "title"), [("other@1", "foreign model other@1 (id 77)"), ("1", "foreign version 1 (id 77)")]
)
def test_a_foreign_model_is_not_displaced_without_permission(version, title):
    live = add_foreign_model(LiveState(versions=(ModelVersion("1", None),)), 100, version)
    message = re.escape(title) + r" with 100 % .*can have 0 %, not 100 %.*--remove-foreign"
    with pytest.raises(ImpossiblePlan, match=message):
        diff(DesiredState(A, SMALL), live)
    plan = diff(DesiredState(A, SMALL, remove_foreign=True), live)
    assert deployed_identities(plan.final_state) == [A]
    assert f"undeploy {title}" in [str(step) for step in plan.steps]


def test_a_new_version_takes_its_traffic_from_managed_versions_and_none_from_a_foreign_model():
    live = add_foreign_model(serving_state(A), 40)
    plan = diff(DesiredState(B, SMALL, traffic_stages=(10,)), live)
    assert traffic_by_identity(plan.final_state) == {A: 50, B: 10, None: 40}
    assert any("foreign model other@1 (id 77): this tool did not deploy it" in reason for reason in plan.skipped)
    promotion = DesiredState(B, SMALL, traffic_stages=(10, 50, 100), with_smoke_tests=True)
    with pytest.raises(ImpossiblePlan, match=r"can have 60 %, not 100 %"):
        diff(promotion, plan.final_state)


def test_a_version_with_all_traffic_that_foreign_models_leave_is_the_serving_version():
    live = add_foreign_model(serving_state(A), 40)
    final_state = diff(DesiredState(B, SMALL, traffic_stages=(60,)), live).final_state
    assert final_state.find_by_alias("champion").identity == B
    assert final_state.find_by_alias("champion-before").identity == A
    assert set(deployed_identities(final_state)) == {A, B, None}, "A stays, as the rollback target"


def test_an_idle_foreign_model_stays_and_a_teardown_names_what_it_would_remove():
    live = add_foreign_model(serving_state(A), 0)
    assert diff(DesiredState(A, SMALL), live).steps == ()
    with pytest.raises(ImpossiblePlan, match=r"foreign model other@1 \(id 77\) with 0 % .*--remove-foreign"):
        diff(DesiredState(None, SMALL), live)
    assert diff(DesiredState(None, SMALL, remove_foreign=True), live).final_state.endpoint is None
