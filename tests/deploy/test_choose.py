"""What rollback and promotion mean: the same wherever they were interrupted, and never the version that was left."""

import contextlib
import dataclasses
import random

import pytest

from deploy import apply, choose
from deploy.choose import NoChoice
from deploy.live import Live
from deploy.plan import Desired, Impossible, diff
from deploy.shares import blend
from deploy.smoke import SmokeFailed
from deploy.steps import Alias, Deploy, Smoke, Traffic, Undeploy
from deploy.vertex import CloudError, Unanswered
from tests.deploy import worlds
from trainer.console.errors import UserError

A, B, C = worlds.IDENTITIES[0], worlds.IDENTITIES[2], worlds.IDENTITIES[4]
ON, LARGER = worlds.SERVINGS[0], worlds.SERVINGS[2]


def done(live: Live, **wish) -> Live:
    return diff(Desired(**{"serving": ON, **wish}), live).end


def promoted(keep: bool = True) -> Live:
    """B serves, A did before."""
    live = done(done(Live(), identity=A), identity=B, shares=(10,), keep=keep)
    return done(live, identity=B, shares=(10, 50, 100), smoke=True, keep=keep)


def way_back(live: Live) -> Desired:
    """As the command makes it."""
    identity, there = choose.retreat(live, Desired(None, ON))
    return Desired(identity, there.serving if there else ON, shares=(100,), retreat=True)


def serves(live: Live):
    ((id, share),) = live.endpoint.traffic.items()
    assert share == 100
    return next(one.identity for one in live.endpoint.deployed if one.id == id)


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("lost", [True, False])
def test_a_rollback_interrupted_anywhere_and_run_again_ends_with_the_version_before(keep, lost):
    start = promoted(keep)
    steps = len(diff(way_back(start), start).steps)
    for crash in range(steps - lost):  # with the last step done, it is through
        world = worlds.Memory(start, fuse=crash, done=lost)
        with pytest.raises(worlds.Crash):
            apply.run(way_back(start), diff(way_back(start), start), world, lambda line: None)
        end = diff(way_back(world.live), world.live).end
        assert serves(end) == A, crash
        assert end.aliased("champion").identity == A
        with pytest.raises(NoChoice, match="no version to roll back to"):
            choose.retreat(end, Desired(None, ON))


def test_a_rollback_returns_to_who_serves_from_a_canary_that_nobody_named():
    live = done(promoted(), identity=C, shares=(10,))
    assert choose.retreat(live, Desired(None, ON))[0] == B
    unnamed = Alias("challenger", None).after(live)
    assert unnamed.aliased("challenger") is None
    assert choose.retreat(unnamed, Desired(None, ON))[0] == B


def test_a_version_is_not_compared_with_itself():
    live = promoted()
    assert choose.rivals(live, B, Desired(None, ON)) == []
    assert [one.identity for one in choose.rivals(live, A, Desired(None, ON))] == [B]


def test_a_rollback_to_what_is_deployed_changes_traffic_first_and_no_machine():
    start = promoted()
    first, *others = diff(way_back(start), start).steps
    assert type(first).__name__ == "Traffic"
    assert {type(step).__name__ for step in others} <= {"Alias", "Undeploy"}
    environment_has_changed = Desired(None, LARGER)
    _, there = choose.retreat(start, environment_has_changed)
    assert there.serving == ON, "as it is, not as the file says today"


def test_a_rollback_from_a_canary_returns_to_the_version_that_serves():
    canary = done(promoted(), identity=C, shares=(10,))
    end = diff(way_back(canary), canary).end
    assert serves(end) == B
    assert end.aliased("challenger") is None


def test_a_rollback_from_a_canary_of_another_machine_returns_to_the_machine_before():
    live = done(Live(), identity=A)
    canary = done(live, identity=A, serving=LARGER, shares=(10,))
    assert sorted(canary.endpoint.traffic.values()) == [10, 90]
    assert canary.aliased("challenger") is None, "one version does not compete with itself"
    end = diff(way_back(canary), canary).end
    assert [one.serving for one in end.endpoint.deployed] == [ON]


def test_a_promotion_cut_off_before_its_last_smoke_smokes_when_it_is_run_again():
    start = done(done(Live(), identity=A), identity=B, shares=(10,))
    wish = Desired(B, ON, shares=(10, 50, 100), smoke=True)
    steps = diff(wish, start).steps
    for number in range(len(steps)):
        live = start
        for step in steps[:number]:
            live = step.after(live)
        if live.aliased("champion").identity != B:
            assert any(type(step).__name__ == "Smoke" for step in diff(wish, live).steps)


def test_a_new_canary_takes_the_place_of_one_that_was_not_promoted():
    first = done(done(Live(), identity=A), identity=B, shares=(10,))
    second = done(first, identity=C, shares=(10,))
    assert {one.identity: second.endpoint.share(one.id) for one in second.endpoint.deployed} == {A: 90, C: 10}


def test_a_version_registered_twice_does_not_hide_the_one_before():
    live = promoted()
    twice = live.versions[-1].__class__("9", B, frozenset(), evaluated=True)
    end = done(Live(live.stored, (*live.versions, twice), live.endpoint), identity=B)
    assert end.aliased("champion-before").identity == A
    assert any(one.identity == A for one in end.endpoint.deployed)


def test_a_candidate_is_compared_with_the_name_and_with_the_traffic():
    live = promoted()
    assert [one.identity for one in choose.rivals(live, C, Desired(None, ON))] == [B]
    nameless = done(done(Live(), identity=A), identity=B, shares=(10,))
    assert {one.identity for one in choose.rivals(nameless, C, Desired(None, ON))} == {A, B}
    assert choose.rivals(Live(), C, Desired(None, ON)) == []


def crashed(live: Live, wish: Desired, rng: random.Random) -> Live:
    """After a command that was interrupted somewhere, or not."""
    shown = diff(wish, live)
    world = worlds.Memory(live, fuse=rng.choice([None, rng.randint(0, len(shown.steps))]), done=rng.random() < 0.5)
    with contextlib.suppress(worlds.Crash):
        apply.run(wish, shown, world, lambda line: None)
    return world.live


def test_after_any_commands_a_rollback_run_again_after_a_crash_ends_where_it_would_have_ended():
    tried = 0
    for seed in range(600):
        rng = random.Random(seed)
        keep, start = rng.random() < 0.7, Live()
        for _ in range(rng.randint(1, 6)):
            wish = Desired(rng.choice([A, B, C]), ON, shares=rng.choice([(100,), (10,), (10, 50, 100)]), keep=keep)
            start = crashed(start, wish, rng)
        try:
            wish = way_back(start)
        except NoChoice:
            continue
        shown = diff(wish, start)
        for crash in range(len(shown.steps)):
            world = worlds.Memory(start, fuse=crash, done=False)
            with pytest.raises(worlds.Crash):
                apply.run(wish, shown, world, lambda line: None)
            again = way_back(world.live)
            assert again.identity == wish.identity, (seed, crash)
            assert serves(diff(again, world.live).end) == wish.identity
            tried += 1
    assert tried > 500


class Failing(worlds.Memory):
    """A platform on which one kind of step fails, undone."""

    def __init__(self, live: Live, kind: type, error: Exception):
        super().__init__(live)
        self.kind, self.error = kind, error

    def do(self, step):
        if isinstance(step, self.kind):
            raise self.error
        super().do(step)


def stopped(live: Live, wish: Desired, kind: type, error: Exception, said: str | None = None) -> Live:
    """After a command that was stopped by a step, and cleaned up; its message matches ``said`` if that is given."""
    world = Failing(live, kind, error)
    with pytest.raises(apply.Stopped, match=said):
        apply.run(wish, diff(wish, live), world, lambda line: None)
    return world.live


def test_a_canary_that_failed_to_start_leaves_no_name_that_misleads_a_rollback():
    left = stopped(promoted(), Desired(C, ON, shares=(10,)), Traffic, UserError("quota"))
    assert left.aliased("challenger") is None
    assert serves(diff(way_back(left), left).end) == A


def test_a_failed_smoke_says_what_share_is_left_after_the_clean_up():
    canary = done(promoted(), identity=C, shares=(10,))
    wish = Desired(C, ON, shares=(10, 50, 100), smoke=True)
    kept = r"\nversion 3 \(sha256:\w+, id \d+\) keeps 10 % of the traffic; 'rollback' takes that away"
    stopped(canary, wish, Smoke, SmokeFailed("wrong"), kept)
    stopped(promoted(), wish, Smoke, SmokeFailed("wrong"), r"\nversion \S+ \(sha256:\w+, id \d+\) has no traffic now")
    alone = done(Live(), identity=A, shares=(100,))
    moved = Desired(A, LARGER, shares=(10, 50, 100), smoke=True)
    stopped(alone, moved, Smoke, SmokeFailed("wrong"), "has no traffic now")
    again = Alias("champion", None).after(alone)
    wish = Desired(A, ON, shares=(100,), smoke=True)
    stopped(again, wish, Smoke, SmokeFailed("wrong"), "keeps 100 % of the traffic; there is no version to roll")


class DoneElsewhere(Failing):
    """A platform on which one kind of step raises although it is done."""

    def do(self, step):
        worlds.Memory.do(self, step)
        if isinstance(step, self.kind):
            raise self.error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Unanswered("Vertex AI did not answer"), "the reply was lost, but it is done"),
        (CloudError("other operations are running"), "this call failed, but another operation has done it"),
    ],
)
def test_a_step_that_another_operation_did_is_not_called_a_lost_reply(error, said):
    live, wish, lines = done(Live(), identity=A), Desired(B, ON, shares=(10,)), []
    apply.run(wish, diff(wish, live), DoneElsewhere(live, Deploy, error), lines.append)
    (line,) = [line for line in lines if str(error) in line]
    assert said in line


def test_a_canary_that_was_passed_over_loses_its_name():
    left = done(done(promoted(), identity=C, shares=(10,)), identity=B)
    assert left.aliased("challenger") is None
    assert done(done(promoted(), identity=C, shares=(10,)), identity=None).aliased("challenger") is None


def test_a_rollback_that_finds_nothing_to_leave_keeps_whom_to_return_to():
    crashed = diff(Desired(B, LARGER), promoted())
    live = promoted()
    for step in crashed.steps[:-1]:
        live = step.after(live)
    end = diff(way_back(live), live).end
    assert end.aliased("champion-before").identity == A
    assert any(one.identity == A for one in end.endpoint.deployed)


def test_a_failed_smoke_gives_traffic_back_and_leaves_nothing_that_this_run_deployed():
    canary = done(promoted(), identity=C, shares=(10,))
    wish = Desired(C, LARGER, shares=(10, 50, 100), smoke=True)
    left = stopped(canary, wish, Smoke, SmokeFailed("wrong"))
    assert left.endpoint.traffic == canary.endpoint.traffic
    assert {one.id for one in left.endpoint.deployed} <= {one.id for one in canary.endpoint.deployed}


def test_a_smoke_that_fails_when_a_promotion_is_run_again_gives_traffic_back_to_who_serves():
    canary = done(promoted(), identity=C, shares=(10,))
    wish = Desired(C, ON, shares=(10, 50, 100), smoke=True)
    live = canary
    for step in diff(wish, canary).steps:
        live = step.after(live)
        if live.endpoint.share(diff(wish, canary).end.endpoint.of(C)[0].id) == 100:
            break
    assert serves(stopped(live, wish, Smoke, SmokeFailed("wrong"))) == B


def test_a_move_to_another_machine_smokes_before_the_old_one_goes_also_when_it_was_cut_off():
    live = done(done(Live(), identity=A), identity=A, serving=LARGER, shares=(10,))
    wish = Desired(A, LARGER, shares=(10, 50, 100), smoke=True)
    steps = diff(wish, live).steps
    for step in steps[: next(n for n, step in enumerate(steps) if isinstance(step, Undeploy)) - 1]:
        live = step.after(live)
    assert [type(step) for step in diff(wish, live).steps][:2] == [Smoke, Undeploy]


def test_a_way_back_that_is_gone_is_an_error_and_no_crash():
    wish, plan = way_back(promoted()), diff(way_back(promoted()), promoted())
    for live in (Live(), Live(endpoint=promoted().endpoint)):
        with pytest.raises(Impossible, match="not there any more"):
            apply.run(wish, plan, worlds.Memory(live), lambda line: None)


def test_who_serves_is_not_promoted_in_place_of_a_canary_without_a_name():
    live = done(promoted(), identity=C, shares=(10,))
    nameless = Live(live.stored, tuple(v for v in done_without(live, "challenger")), live.endpoint)
    with pytest.raises(NoChoice, match="somebody has traffic beside the version that serves"):
        choose.candidate(nameless, Desired(None, ON))


def done_without(live: Live, alias: str):
    return Alias(alias, None).after(live).versions


def beside_foreign(live: Live) -> Live:
    """The same with a foreign deployment that has 40 % of the traffic."""
    at = live.endpoint
    deployed = (*at.deployed, worlds.Deployed("77", "other@1", None, ON))
    return dataclasses.replace(
        live, endpoint=dataclasses.replace(at, deployed=deployed, traffic=blend(at.traffic, "77", 40))
    )


def test_a_rollback_beside_a_foreign_deployment_moves_our_traffic_and_leaves_its_share():
    live = beside_foreign(done(promoted(), identity=C, shares=(10,)))
    end = diff(way_back(live), live).end
    assert {one.identity: end.endpoint.share(one.id) for one in end.endpoint.deployed} == {B: 60, None: 40}
    end = diff(way_back(end), end).end
    assert {one.identity: end.endpoint.share(one.id) for one in end.endpoint.deployed} == {A: 60, None: 40}
    assert end.aliased("champion").identity == A


def test_a_smoke_that_fails_after_a_cut_off_leaves_the_share_of_a_foreign_deployment():
    canary = beside_foreign(done(promoted(), identity=C, shares=(10,)))
    wish = Desired(C, ON, shares=(10, 60), smoke=True)
    live = canary
    for step in diff(wish, canary).steps:
        live = step.after(live)
        if live.endpoint.share(live.endpoint.of(C)[0].id) == 60:
            break
    end = stopped(live, wish, Smoke, SmokeFailed("wrong")).endpoint
    assert {one.identity: end.share(one.id) for one in end.deployed} == {B: 60, C: 0, None: 40}


def test_a_foreign_version_of_equal_number_is_no_rival_and_taking_all_but_its_share_is_taking_over():
    live = beside_foreign(done(Live(), identity=A))
    assert choose.rivals(live, A, Desired(None, ON)) == [], "its version is 1, too, but of another model"
    wish = Desired(B, ON, shares=(60,))
    assert choose.takes_over(live, diff(wish, live), wish)


def test_taking_over_is_seen_by_traffic_as_well_as_by_name():
    live = promoted()
    half_back = diff(way_back(live), live).steps[0].after(live)  # A has the traffic, B the name
    wish = Desired(B, ON)
    assert choose.takes_over(half_back, diff(wish, half_back), wish)
    canary = Desired(C, ON, shares=(10,))
    assert not choose.takes_over(live, diff(canary, live), canary)
