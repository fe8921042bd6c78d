"""Rollbacks and promotions select the same versions wherever an earlier command was interrupted."""

import contextlib
import dataclasses
import random

import pytest

from deploy.apply import apply_plan
from deploy.desired_state import DesiredState
from deploy.errors import ApplyStopped, CloudError, ReplyLost, SmokeTestFailed
from deploy.live_state import DeployedModel, LiveState, VersionIdentity
from deploy.plan import ImpossiblePlan, diff
from deploy.steps import Deploy, RunSmokeTest, SetAlias, SetTraffic, Undeploy
from deploy.traffic_split import rebalance
from deploy.version_selection import (
    NoMatchingVersion,
    is_takeover,
    select_candidate,
    select_incumbents,
    select_rollback_target,
)
from tests.deploy import random_states
from tests.deploy.random_states import InMemoryExecutor
from trainer.console.errors import UserError

A, B, C = random_states.IDENTITIES[0], random_states.IDENTITIES[2], random_states.IDENTITIES[4]
SMALL, LARGE = random_states.SERVING_CONFIGS[0], random_states.SERVING_CONFIGS[2]
UNSPECIFIED = DesiredState(None, SMALL)  # the aliases are what matters


def ignore_line(line: str) -> None:
    pass


def reach(live: LiveState, **desired) -> LiveState:
    """Return the state after all steps to a desired state."""
    return diff(DesiredState(**{"serving_config": SMALL, **desired}), live).final_state


def promoted_state(keep_previous: bool = True) -> LiveState:
    """Return a state in which B serves and A served before."""
    first = reach(LiveState(), identity=A)
    canary = reach(first, identity=B, traffic_stages=(10,), keep_previous=keep_previous)
    return reach(canary, identity=B, traffic_stages=(10, 50, 100), with_smoke_tests=True, keep_previous=keep_previous)


def canary_state() -> LiveState:
    """Return a state in which B serves, A served before and C is a canary."""
    return reach(promoted_state(), identity=C, traffic_stages=(10,))


def rollback_state(live: LiveState) -> DesiredState:
    """Return the desired state of a rollback, as the command builds it."""
    identity, deployed = select_rollback_target(live, UNSPECIFIED)
    config = deployed.serving_config if deployed else SMALL
    return DesiredState(identity, config, traffic_stages=(100,), is_rollback=True)


def roll_back(live: LiveState) -> LiveState:
    return diff(rollback_state(live), live).final_state


def serving_identity(live: LiveState) -> VersionIdentity | None:
    ((id, percentage),) = live.endpoint.traffic_split.items()
    assert percentage == 100
    return next(model.identity for model in live.endpoint.deployed_models if model.id == id)


def traffic_by_identity(live: LiveState) -> dict[VersionIdentity | None, int]:
    return {model.identity: live.endpoint.traffic_percentage(model.id) for model in live.endpoint.deployed_models}


def identities(versions) -> list[VersionIdentity | None]:
    return [version.identity for version in versions]


@pytest.mark.parametrize("keep_previous", [True, False])
@pytest.mark.parametrize("takes_effect", [True, False])
def test_a_rollback_interrupted_anywhere_and_run_again_ends_with_the_previous_version(keep_previous, takes_effect):
    start = promoted_state(keep_previous)
    steps = len(diff(rollback_state(start), start).steps)
    for number in range(steps - takes_effect):  # with its last step in effect, the rollback is complete
        executor = InMemoryExecutor(start, steps_until_crash=number, crash_takes_effect=takes_effect)
        with pytest.raises(random_states.Crash):
            apply_plan(rollback_state(start), diff(rollback_state(start), start), executor, ignore_line)
        final_state = roll_back(executor.live)
        assert serving_identity(final_state) == A, number
        assert final_state.find_by_alias("champion").identity == A
        with pytest.raises(NoMatchingVersion, match="no version to roll back to"):
            select_rollback_target(final_state, UNSPECIFIED)


def test_a_rollback_returns_to_the_serving_version_from_a_canary_without_alias():
    live = canary_state()
    assert select_rollback_target(live, UNSPECIFIED)[0] == B
    without_alias = SetAlias("challenger", None).apply_to(live)
    assert without_alias.find_by_alias("challenger") is None
    assert select_rollback_target(without_alias, UNSPECIFIED)[0] == B


def test_a_version_is_not_compared_with_itself():
    live = promoted_state()
    assert select_incumbents(live, B, UNSPECIFIED) == []
    assert identities(select_incumbents(live, A, UNSPECIFIED)) == [B]


def test_a_rollback_to_a_deployed_version_changes_traffic_first_and_no_machine():
    start = promoted_state()
    first, *others = diff(rollback_state(start), start).steps
    assert isinstance(first, SetTraffic)
    assert all(isinstance(step, SetAlias | Undeploy) for step in others)
    _, deployed = select_rollback_target(start, DesiredState(None, LARGE))
    assert deployed.serving_config == SMALL, "as it is deployed, not as the environment declares by now"


def test_a_rollback_from_a_canary_returns_to_the_serving_version():
    final_state = roll_back(canary_state())
    assert serving_identity(final_state) == B
    assert final_state.find_by_alias("challenger") is None


def test_a_rollback_from_a_canary_on_another_machine_returns_to_the_previous_machine():
    canary = reach(reach(LiveState(), identity=A), identity=A, serving_config=LARGE, traffic_stages=(10,))
    assert sorted(canary.endpoint.traffic_split.values()) == [10, 90]
    assert canary.find_by_alias("challenger") is None, "a version does not compete with itself"
    assert [model.serving_config for model in roll_back(canary).endpoint.deployed_models] == [SMALL]


def test_a_promotion_interrupted_before_its_last_smoke_test_runs_that_test_when_it_is_run_again():
    start = reach(reach(LiveState(), identity=A), identity=B, traffic_stages=(10,))
    desired = DesiredState(B, SMALL, traffic_stages=(10, 50, 100), with_smoke_tests=True)
    live = start
    for step in diff(desired, start).steps:
        if live.find_by_alias("champion").identity != B:
            assert any(isinstance(next_step, RunSmokeTest) for next_step in diff(desired, live).steps)
        live = step.apply_to(live)


def test_a_new_canary_replaces_a_canary_that_was_not_promoted():
    first = reach(reach(LiveState(), identity=A), identity=B, traffic_stages=(10,))
    assert traffic_by_identity(reach(first, identity=C, traffic_stages=(10,))) == {A: 90, C: 10}


def test_a_version_registered_twice_does_not_hide_the_previous_version():
    live = promoted_state()
    duplicate = dataclasses.replace(live.versions[-1], number="9", aliases=frozenset())
    final_state = reach(dataclasses.replace(live, versions=(*live.versions, duplicate)), identity=B)
    assert final_state.find_by_alias("champion-before").identity == A
    assert A in traffic_by_identity(final_state)


def test_a_candidate_is_compared_by_alias_and_by_traffic():
    assert identities(select_incumbents(promoted_state(), C, UNSPECIFIED)) == [B]
    with_canary = reach(reach(LiveState(), identity=A), identity=B, traffic_stages=(10,))
    assert set(identities(select_incumbents(with_canary, C, UNSPECIFIED))) == {A, B}
    assert select_incumbents(LiveState(), C, UNSPECIFIED) == []


def interrupt_randomly(live: LiveState, desired: DesiredState, rng: random.Random) -> LiveState:
    """Return the state after a command that may have been interrupted."""
    plan = diff(desired, live)
    steps_until_crash = rng.choice([None, rng.randint(0, len(plan.steps))])
    executor = InMemoryExecutor(live, steps_until_crash, crash_takes_effect=rng.random() < 0.5)
    with contextlib.suppress(random_states.Crash):
        apply_plan(desired, plan, executor, ignore_line)
    return executor.live


def test_after_any_commands_an_interrupted_rollback_that_is_run_again_ends_as_without_interruption():
    interruptions = 0
    for seed in range(600):
        rng = random.Random(seed)
        keep_previous, start = rng.random() < 0.7, LiveState()
        for _ in range(rng.randint(1, 6)):
            identity, stages = rng.choice([A, B, C]), rng.choice([(100,), (10,), (10, 50, 100)])
            desired = DesiredState(identity, SMALL, traffic_stages=stages, keep_previous=keep_previous)
            start = interrupt_randomly(start, desired, rng)
        try:
            desired = rollback_state(start)
        except NoMatchingVersion:
            continue
        plan = diff(desired, start)
        for number in range(len(plan.steps)):
            executor = InMemoryExecutor(start, steps_until_crash=number, crash_takes_effect=False)
            with pytest.raises(random_states.Crash):
                apply_plan(desired, plan, executor, ignore_line)
            assert rollback_state(executor.live).identity == desired.identity, (seed, number)
            assert serving_identity(roll_back(executor.live)) == desired.identity
            interruptions += 1
    assert interruptions > 500


class FailingExecutor(InMemoryExecutor):
    """An executor on which steps of one type fail without effect."""

    def __init__(self, live: LiveState, step_type: type, error: Exception):
        super().__init__(live)
        self.step_type, self.error = step_type, error

    def execute(self, step):
        if isinstance(step, self.step_type):
            raise self.error
        super().execute(step)


def stop_at(
    step_type: type, live: LiveState, desired: DesiredState, error: Exception, message: str | None = None
) -> LiveState:
    """Return the state after a step has failed and was cleaned up; ``message`` is a pattern of the error."""
    executor = FailingExecutor(live, step_type, error)
    with pytest.raises(ApplyStopped, match=message):
        apply_plan(desired, diff(desired, live), executor, ignore_line)
    return executor.live


def fail_smoke_test(live: LiveState, desired: DesiredState, message: str | None = None) -> LiveState:
    return stop_at(RunSmokeTest, live, desired, SmokeTestFailed("wrong"), message)


def test_a_canary_that_failed_to_start_leaves_no_alias_that_misleads_a_rollback():
    desired = DesiredState(C, SMALL, traffic_stages=(10,))
    live = stop_at(SetTraffic, promoted_state(), desired, UserError("quota"))
    assert live.find_by_alias("challenger") is None
    assert serving_identity(roll_back(live)) == A


def test_a_failed_smoke_test_says_what_traffic_is_left_after_the_cleanup():
    title = r"\nversion \S+ \(sha256:\w+, id \d+\)"
    desired = DesiredState(C, SMALL, traffic_stages=(10, 50, 100), with_smoke_tests=True)
    fail_smoke_test(
        canary_state(), desired, title.replace(r"\S+", "3") + " keeps 10 % of the traffic; 'rollback' takes that away"
    )
    fail_smoke_test(promoted_state(), desired, title + " has no traffic now")
    single = reach(LiveState(), identity=A, traffic_stages=(100,))
    moved = DesiredState(A, LARGE, traffic_stages=(10, 50, 100), with_smoke_tests=True)
    fail_smoke_test(single, moved, "has no traffic now")
    without_alias = SetAlias("champion", None).apply_to(single)
    desired = DesiredState(A, SMALL, traffic_stages=(100,), with_smoke_tests=True)
    fail_smoke_test(without_alias, desired, "keeps 100 % of the traffic; there is no version to roll")


class ReplyLosingExecutor(FailingExecutor):
    """An executor on which steps of one type raise although they take effect."""

    def execute(self, step):
        InMemoryExecutor.execute(self, step)
        if isinstance(step, self.step_type):
            raise self.error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ReplyLost("Vertex AI did not answer"), "the reply was lost, but the step is done"),
        (CloudError("other operations are running"), "this call failed, but another operation has done the step"),
    ],
)
def test_a_step_that_another_operation_has_done_is_not_called_a_lost_reply(error, message):
    live, desired, lines = reach(LiveState(), identity=A), DesiredState(B, SMALL, traffic_stages=(10,)), []
    apply_plan(desired, diff(desired, live), ReplyLosingExecutor(live, Deploy, error), lines.append)
    (line,) = [line for line in lines if str(error) in line]
    assert message in line


def test_a_canary_that_another_version_replaces_loses_its_alias():
    assert reach(canary_state(), identity=B).find_by_alias("challenger") is None
    assert reach(canary_state(), identity=None).find_by_alias("challenger") is None


def test_a_rollback_that_finds_only_an_interrupted_move_keeps_the_previous_version():
    live = promoted_state()
    for step in diff(DesiredState(B, LARGE), live).steps[:-1]:
        live = step.apply_to(live)
    final_state = roll_back(live)
    assert final_state.find_by_alias("champion-before").identity == A
    assert A in traffic_by_identity(final_state)


def test_a_failed_smoke_test_restores_traffic_and_leaves_nothing_that_this_run_deployed():
    canary = canary_state()
    desired = DesiredState(C, LARGE, traffic_stages=(10, 50, 100), with_smoke_tests=True)
    live = fail_smoke_test(canary, desired)
    assert live.endpoint.traffic_split == canary.endpoint.traffic_split
    ids = {model.id for model in live.endpoint.deployed_models}
    assert ids <= {model.id for model in canary.endpoint.deployed_models}


def advance_to(live: LiveState, desired: DesiredState, identity: VersionIdentity, percentage: int) -> LiveState:
    """Return the state after the first steps of a plan, until an identity has a percentage of the traffic."""
    for step in diff(desired, live).steps:
        live = step.apply_to(live)
        if traffic_by_identity(live)[identity] == percentage:
            break
    return live


def test_a_smoke_test_that_fails_when_a_promotion_is_run_again_restores_the_serving_version():
    desired = DesiredState(C, SMALL, traffic_stages=(10, 50, 100), with_smoke_tests=True)
    live = advance_to(canary_state(), desired, C, 100)
    assert serving_identity(fail_smoke_test(live, desired)) == B


def test_an_interrupted_move_to_another_machine_runs_the_smoke_test_before_the_old_model_is_undeployed():
    live = reach(reach(LiveState(), identity=A), identity=A, serving_config=LARGE, traffic_stages=(10,))
    desired = DesiredState(A, LARGE, traffic_stages=(10, 50, 100), with_smoke_tests=True)
    steps = diff(desired, live).steps
    undeploy = next(number for number, step in enumerate(steps) if isinstance(step, Undeploy))
    for step in steps[: undeploy - 1]:
        live = step.apply_to(live)
    assert [type(step) for step in diff(desired, live).steps][:2] == [RunSmokeTest, Undeploy]


def test_a_rollback_target_that_is_gone_is_an_error_with_a_message():
    desired = rollback_state(promoted_state())
    plan = diff(desired, promoted_state())
    for live in (LiveState(), LiveState(endpoint=promoted_state().endpoint)):
        with pytest.raises(ImpossiblePlan, match="not there any more"):
            apply_plan(desired, plan, InMemoryExecutor(live), ignore_line)


def test_the_serving_version_is_not_promoted_in_place_of_a_canary_without_alias():
    without_alias = SetAlias("challenger", None).apply_to(canary_state())
    with pytest.raises(NoMatchingVersion, match="another version has traffic beside the serving version"):
        select_candidate(without_alias, UNSPECIFIED)


def add_foreign_model(live: LiveState) -> LiveState:
    """Return the state with a foreign model that has 40 % of the traffic."""
    endpoint = dataclasses.replace(
        live.endpoint,
        deployed_models=(*live.endpoint.deployed_models, DeployedModel("77", "other@1", None, SMALL)),
        traffic_split=rebalance(live.endpoint.traffic_split, "77", 40),
    )
    return dataclasses.replace(live, endpoint=endpoint)


def test_a_rollback_beside_a_foreign_model_leaves_its_traffic():
    first = roll_back(add_foreign_model(canary_state()))
    assert traffic_by_identity(first) == {B: 60, None: 40}
    second = roll_back(first)
    assert traffic_by_identity(second) == {A: 60, None: 40}
    assert second.find_by_alias("champion").identity == A


def test_a_smoke_test_that_fails_after_an_interruption_leaves_the_traffic_of_a_foreign_model():
    desired = DesiredState(C, SMALL, traffic_stages=(10, 60), with_smoke_tests=True)
    live = advance_to(add_foreign_model(canary_state()), desired, C, 60)
    assert traffic_by_identity(fail_smoke_test(live, desired)) == {B: 60, C: 0, None: 40}


def test_a_foreign_version_of_equal_number_is_no_incumbent_and_taking_all_other_traffic_is_a_takeover():
    live = add_foreign_model(reach(LiveState(), identity=A))
    assert select_incumbents(live, A, UNSPECIFIED) == [], "its version is 1, too, but of another model"
    desired = DesiredState(B, SMALL, traffic_stages=(60,))
    assert is_takeover(live, diff(desired, live), desired)


def test_a_takeover_is_recognized_by_traffic_as_well_as_by_alias():
    live = promoted_state()
    traffic_moved = diff(rollback_state(live), live).steps[0].apply_to(live)  # A has the traffic, B the alias
    desired = DesiredState(B, SMALL)
    assert is_takeover(traffic_moved, diff(desired, traffic_moved), desired)
    canary = DesiredState(C, SMALL, traffic_stages=(10,))
    assert not is_takeover(live, diff(canary, live), canary)
