"""Plans: they converge from anywhere, crash or not, and never leave a request unanswered on the way."""

import random

import pytest

from deploy import apply, steps
from deploy.live import Endpoint, Identity, Live, Serving, Version
from deploy.plan import Desired, Impossible, blend, diff
from deploy.steps import Alias, CreateEndpoint, Deploy, Evaluate, Register, Resize, Smoke, Store, Traffic, Undeploy
from tests.deploy import worlds

STATES = 2000
A, B = worlds.IDENTITIES[0], worlds.IDENTITIES[1]
ON = worlds.SERVINGS[0]


def quietly(_):
    pass


def requests_are_answered(before: Live, step, after: Live):
    """What holds after every step of a plan."""
    for state in (before, after):
        if state.endpoint:
            assert sum(state.endpoint.traffic.values()) in (0, 100)
            assert set(state.endpoint.traffic) <= {one.id for one in state.endpoint.deployed}
    if before.endpoint and before.endpoint.traffic and after.endpoint:
        assert after.endpoint.traffic or step == Traffic({}), "requests that were taken are taken still"
    if isinstance(step, Undeploy):
        assert before.endpoint.share(step.id) == 0, "nothing that has traffic is undeployed"


def reached(desired: Desired, live: Live) -> bool:
    """The wish itself, said apart from the code that plans."""
    if desired.identity is None:
        return live.endpoint is None
    endpoint = live.endpoint
    mine = [one for one in endpoint.of(desired.identity) if one.serving == desired.serving]
    share = max((endpoint.share(one.id) for one in mine), default=0)
    idle = [one for one in endpoint.deployed if one not in mine and not endpoint.share(one.id)]
    version = live.version(desired.identity)
    alias = desired.serving_alias if share == 100 else desired.candidate_alias
    serving = live.aliased(desired.serving_alias)
    its_own_rival = share < 100 and serving and serving.identity == desired.identity  # on another machine
    return (
        share >= desired.shares[-1]
        and sum(endpoint.traffic.values()) == 100
        and len(idle) <= desired.keep
        and version.evaluated
        and desired.identity.artifact in live.stored
        and (its_own_rival or [one for one in live.versions if alias in one.aliases] == [version])
        and endpoint.labels == desired.labels
    )


@pytest.mark.parametrize("part", range(4))
def test_from_any_state_crashed_at_any_step_plan_and_apply_converge(part):
    crashes = 0
    for seed in range(part, STATES, 4):
        rng = random.Random(seed)
        start, desired = worlds.live(rng), worlds.wish(rng)
        shown = diff(desired, start)
        for crash in range(len(shown.steps)):
            world = worlds.Memory(start, fuse=crash, done=rng.random() < 0.5)
            with pytest.raises(worlds.Crash):
                apply.run(desired, shown, world, quietly)
            again = diff(desired, world.live)
            world.check = requests_are_answered
            assert apply.run(desired, again, world, quietly) == len(again.steps)
            assert reached(desired, world.live), (seed, crash)
            assert apply.run(desired, diff(desired, world.live), world, quietly) == 0, "the second time does nothing"
            crashes += 1
    assert crashes > STATES / 4, "there was something to crash"


@pytest.mark.parametrize("part", range(4))
def test_on_every_prefix_of_a_plan_requests_are_answered(part):
    kinds = set()
    for seed in range(part, STATES, 4):
        rng = random.Random(seed)
        start, desired = worlds.live(rng), worlds.wish(rng)
        plan = diff(desired, start)
        world = worlds.Memory(start, check=requests_are_answered)
        apply.run(desired, plan, world, quietly)
        assert world.live == plan.end
        assert reached(desired, world.live), seed
        assert not diff(desired, world.live).steps, seed
        assert all(steps.read(steps.describe(step)) == step for step in plan.steps)
        kinds |= {type(step) for step in plan.steps}
    assert kinds == set(steps.KINDS.values()), "every kind of step was seen"


def test_the_first_deployment_registers_creates_deploys_and_names():
    plan = diff(Desired(A, ON), Live())
    kinds = [Store, Register, Evaluate, CreateEndpoint, Deploy, Alias]
    assert [type(step) for step in plan.steps] == kinds
    assert plan.steps[-1] == Alias("champion", A)


def serving(identity: Identity, on: Serving = ON, **changes) -> Live:
    return diff(Desired(identity, on, **changes), Live()).end


def test_a_canary_takes_its_share_and_the_champion_stays():
    plan = diff(Desired(B, ON, shares=(10,)), serving(A))
    (canary,) = [step for step in plan.steps if isinstance(step, Deploy)]
    (champion,) = plan.end.endpoint.of(A)
    assert plan.end.endpoint.traffic == {champion.id: 90, canary.id: 10}
    assert plan.steps[-2:] == (Alias("challenger", B), Traffic({champion.id: 90, canary.id: 10})), "named first"


def test_a_promotion_smokes_before_each_share_and_at_the_end():
    live = diff(Desired(B, ON, shares=(10,)), serving(A)).end
    plan = diff(Desired(B, ON, shares=(10, 50, 100), smoke=True), live)
    kinds = [type(step) for step in plan.steps if isinstance(step, Smoke | Traffic)]
    assert kinds == [Smoke, Traffic, Smoke, Traffic, Smoke]
    assert Alias("champion", B) in plan.steps
    assert Alias("champion-before", A) in plan.steps
    assert Alias("challenger", None) in plan.steps


def test_a_promotion_that_is_through_changes_nothing():
    live = diff(Desired(B, ON, shares=(10, 50, 100), smoke=True), serving(A)).end
    assert diff(Desired(B, ON, shares=(10, 50, 100), smoke=True), live).steps == ()


@pytest.mark.parametrize("keep", [True, False])
def test_who_served_before_stays_deployed_only_where_that_is_wanted(keep):
    end = diff(Desired(B, ON, keep=keep), serving(A)).end
    assert [one.identity for one in end.endpoint.deployed] == ([A, B] if keep else [B])


def test_replicas_change_in_place_and_a_machine_by_another_deployment():
    wider, larger = worlds.SERVINGS[1], worlds.SERVINGS[2]
    assert [type(step) for step in diff(Desired(A, wider), serving(A)).steps] == [Resize]
    plan = diff(Desired(A, larger), serving(A))
    assert [type(step) for step in plan.steps] == [Deploy, Traffic, Undeploy]


def test_an_endpoint_of_the_other_kind_is_an_error_that_says_so():
    with pytest.raises(Impossible, match="is dedicated and cannot become shared"):
        diff(Desired(A, ON, dedicated=False), serving(A))


def test_what_is_there_is_not_needed_and_the_reason_is_told():
    unneeded = diff(Desired(A, ON), serving(A)).unneeded
    assert any("version 1 is this identity" in reason for reason in unneeded)
    assert all(": " in reason for reason in unneeded)


@pytest.mark.parametrize("share", [1, 10, 33, 50, 99])
def test_a_blend_sums_to_100_and_keeps_the_proportions_of_the_others(share):
    for traffic in ({"a": 100}, {"a": 60, "b": 40}, {"a": 34, "b": 33, "c": 33}, {"a": 1, "b": 99, "x": 0}, {"x": 70}):
        split = blend(traffic, "x", share)
        assert sum(split.values()) == 100
        others = {id: of for id, of in traffic.items() if of and id != "x"}
        assert split["x"] == (share if others else 100)
        for id, of in others.items():
            assert abs(split.get(id, 0) - of * (100 - share) / sum(others.values())) < 1


def test_what_was_deployed_by_hand_gives_way():
    stranger = worlds.Deployed("1", "1", None, ON)
    live = Live(versions=(Version("1", None),), endpoint=Endpoint(True, {}, (stranger,), {"1": 100}))
    end = diff(Desired(A, ON), live).end
    assert [one.identity for one in end.endpoint.deployed] == [A]
