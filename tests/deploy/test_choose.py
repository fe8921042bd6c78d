"""What rollback and promotion mean: the same wherever they were interrupted, and never the version that was left."""

import contextlib
import random

import pytest

from deploy import apply, choose
from deploy.choose import NoChoice
from deploy.live import Live
from deploy.plan import Desired, diff
from tests.deploy import worlds

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
