"""Plans: they converge from anywhere, crash or not, and never leave a request unanswered on the way."""

import dataclasses
import random
import re

import pytest

from deploy import apply, steps
from deploy.live import Endpoint, Identity, Live, Serving, Version
from deploy.plan import Desired, Impossible, diff
from deploy.shares import blend
from deploy.steps import Alias, CreateEndpoint, Deploy, Evaluate, Register, Resize, Smoke, Store, Traffic, Undeploy
from tests.deploy import worlds

STATES = 2000
A, B, C = worlds.IDENTITIES[:3]
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


def foreign_stay(before: Live, step, after: Live):
    """What holds after every step of a plan that may not remove what is foreign."""
    requests_are_answered(before, step, after)
    assert foreign(before) == foreign(after), "nothing foreign is undeployed, and it keeps its share"


def foreign(live: Live):
    at = live.endpoint
    return {one.id: at.share(one.id) for one in at.deployed if one.identity is None} if at else {}


def reached(desired: Desired, live: Live) -> bool:
    """The wish itself, said apart from the code that plans."""
    if desired.identity is None:
        return live.endpoint is None
    endpoint = live.endpoint
    mine = [one for one in endpoint.of(desired.identity) if one.serving == desired.serving]
    share = max((endpoint.share(one.id) for one in mine), default=0)
    stays = [] if desired.remove_foreign else [one.id for one in endpoint.foreign]
    others = [one for one in endpoint.deployed if one not in mine and one.id not in stays]
    idle = [one for one in others if not endpoint.share(one.id)]
    version = live.version(desired.identity)
    whole = 100 - sum(foreign(live).values())
    alias = desired.serving_alias if share == whole else desired.candidate_alias
    serving = live.aliased(desired.serving_alias)
    its_own_rival = share < whole and serving and serving.identity == desired.identity  # on another machine
    return (
        share >= desired.shares[-1]
        and sum(endpoint.traffic.values()) == 100
        and len(idle) <= desired.keep
        and version.evaluated
        and desired.identity.artifact in live.stored
        and (its_own_rival or [one for one in live.versions if alias in one.aliases] == [version])
        and endpoint.labels == desired.labels
    )


@pytest.mark.slow
@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in (1, 2, 3))])
def test_from_any_state_crashed_at_any_step_plan_and_apply_converge(part):
    crashes = 0
    for seed in range(part, STATES, 4):
        rng = random.Random(seed)
        start, desired = worlds.live(rng), worlds.wish(rng)
        start = beside(start, rng.choice([0, 1, 40, 100])) if rng.random() < 0.3 else start
        shown = worlds.planned(desired, start)
        if shown is None:
            continue
        check = requests_are_answered if desired.remove_foreign else foreign_stay
        for crash in range(len(shown.steps)):
            world = worlds.Memory(start, fuse=crash, done=rng.random() < 0.5)
            with pytest.raises(worlds.Crash):
                apply.run(desired, shown, world, quietly)
            again = diff(desired, world.live)
            world.check = check
            assert apply.run(desired, again, world, quietly) == len(again.steps)
            assert reached(desired, world.live), (seed, crash)
            assert apply.run(desired, diff(desired, world.live), world, quietly) == 0, "the second time does nothing"
            crashes += 1
    assert crashes > STATES / 4, "there was something to crash"


@pytest.mark.parametrize("part", range(4))
def test_on_every_prefix_of_a_plan_requests_are_answered(part):
    kinds, with_foreign = set(), 0
    for seed in range(part, STATES, 4):
        rng = random.Random(seed)
        start, desired = worlds.live(rng), worlds.wish(rng)
        start = beside(start, rng.choice([0, 1, 40, 100])) if rng.random() < 0.3 else start
        plan = worlds.planned(desired, start)
        if plan is None:
            continue
        with_foreign += bool(not desired.remove_foreign and foreign(start))
        check = requests_are_answered if desired.remove_foreign else foreign_stay
        world = worlds.Memory(start, check=check)
        apply.run(desired, plan, world, quietly)
        assert world.live == plan.end
        assert reached(desired, world.live), seed
        assert not diff(desired, world.live).steps, seed
        assert all(steps.read(steps.describe(step)) == step for step in plan.steps)
        kinds |= {type(step) for step in plan.steps}
        for told in (*map(str, plan.steps), *plan.unneeded):
            assert not re.search(r"(?<!id )\b\d{10}\b", told), f"{told}: a bare id"
            assert "(id " not in told or "foreign" in told, f"{told}: an id without its version"
        for step in plan.steps:
            if isinstance(step, Evaluate | Alias | Deploy | Resize | Smoke | Undeploy):
                assert re.search(r"version \d+ \((sha256:[0-9a-f]{12}|id )|foreign", str(step)), str(step)
    assert with_foreign >= 10, "foreign deployments that stay were seen"
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


def test_a_canary_keeps_who_serves_to_return_to_and_nobody_before():
    replaced = diff(Desired(B, ON), serving(A)).end
    assert [one.identity for one in replaced.endpoint.deployed] == [A, B]
    end = diff(Desired(C, ON, shares=(10,)), replaced).end
    assert [one.identity for one in end.endpoint.deployed] == [B, C]


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


def beside(live: Live, share: int, version: str = "other@1") -> Live:
    """A foreign deployment with a share of the traffic; the others keep theirs of the rest."""
    at = live.endpoint or Endpoint(True)
    deployed = (*at.deployed, worlds.Deployed("77", version, None, ON))
    traffic = blend(at.traffic, "77", share) if share else at.traffic
    return dataclasses.replace(live, endpoint=dataclasses.replace(at, deployed=deployed, traffic=traffic))


@pytest.mark.parametrize(
    ("version", "called"), [("other@1", "foreign model other@1 (id 77)"), ("1", "foreign version 1 (id 77)")]
)
def test_what_is_foreign_is_not_displaced_without_being_asked_for(version, called):
    live = beside(Live(versions=(Version("1", None),)), 100, version)
    with pytest.raises(
        Impossible, match=re.escape(called) + r" with 100 % .*can have 0 %, not 100 %.*--remove-foreign"
    ):
        diff(Desired(A, ON), live)
    plan = diff(Desired(A, ON, remove_foreign=True), live)
    assert [one.identity for one in plan.end.endpoint.deployed] == [A]
    assert f"undeploy {called}" in [str(step) for step in plan.steps]


def test_a_new_version_takes_its_share_from_ours_and_none_from_what_is_foreign():
    live = beside(serving(A), 40)
    plan = diff(Desired(B, ON, shares=(10,)), live)
    by_identity = {one.identity: plan.end.endpoint.share(one.id) for one in plan.end.endpoint.deployed}
    assert by_identity == {A: 50, B: 10, None: 40}
    assert any("foreign model other@1 (id 77): this tool did not deploy it" in reason for reason in plan.unneeded)
    with pytest.raises(Impossible, match=r"can have 60 %, not 100 %"):
        diff(Desired(B, ON, shares=(10, 50, 100), smoke=True), plan.end)


def test_a_version_with_all_that_what_is_foreign_leaves_is_the_one_that_serves():
    end = diff(Desired(B, ON, shares=(60,)), beside(serving(A), 40)).end
    assert end.aliased("champion").identity == B
    assert end.aliased("champion-before").identity == A
    assert {one.identity for one in end.endpoint.deployed} == {A, B, None}, "A stays, to return to"


def test_an_idle_foreign_deployment_stays_and_a_teardown_says_what_it_would_remove():
    live = beside(serving(A), 0)
    assert diff(Desired(A, ON), live).steps == ()
    with pytest.raises(Impossible, match=r"foreign model other@1 \(id 77\) with 0 % .*--remove-foreign"):
        diff(Desired(None, ON), live)
    assert diff(Desired(None, ON, remove_foreign=True), live).end.endpoint is None
