"""Random live states and wishes, for properties of plans; and a platform in memory that may fail in the middle."""

import random
from collections.abc import Sequence

from deploy.live import Deployed, Endpoint, Identity, Live, Serving, Version, deployed_id
from deploy.plan import Desired, Impossible, Plan, diff
from deploy.steps import Step

IDENTITIES = [Identity(a * 32, i * 32) for a in "abc" for i in "12"]
SERVINGS = [Serving("n1-standard-2", 1, 3, 60), Serving("n1-standard-2", 2, 4, 60), Serving("n1-standard-4", 1, 3, 60)]
ALIASES = ("champion", "champion-before", "challenger", "staging")


class Crash(BaseException):
    """The machine that applied is gone, after a step that was done, or not."""


def live(rng: random.Random, identities: Sequence[Identity] = IDENTITIES) -> Live:
    """Any state: versions registered twice, deployed by hand, unfinished canaries, an endpoint that takes nothing."""
    known = [rng.choice([*identities, None]) for _ in range(rng.randint(0, 5))]
    versions = [Version(str(n), of, evaluated=rng.random() < 0.5) for n, of in enumerate(known, start=1)]
    for alias in ALIASES:
        if versions and rng.random() < 0.6:
            at = rng.randrange(len(versions))
            one = versions[at]
            versions[at] = Version(one.number, one.identity, one.aliases | {alias}, one.evaluated)
    stored = frozenset(of.artifact for of in known if of and rng.random() < 0.8)
    return Live(stored, tuple(versions), endpoint(rng, versions) if rng.random() < 0.8 else None)


def endpoint(rng: random.Random, versions: list[Version]) -> Endpoint:
    deployed: dict[str, Deployed] = {}
    for number in range(rng.randint(0, 4) if versions else 0):
        version, serving = rng.choice(versions), rng.choice(SERVINGS)
        ours = version.identity and rng.random() < 0.7
        id = deployed_id(version.identity, serving) if ours and version.identity else str(number + 1)
        deployed[id] = Deployed(id, version.number, version.identity, serving)
    return Endpoint(True, rng.choice([{}, {"team": "a"}]), tuple(deployed.values()), split(rng, list(deployed)))


def split(rng: random.Random, ids: list[str]) -> dict[str, int]:
    takers = [id for id in ids if rng.random() < 0.7]
    if not takers or rng.random() < 0.1:
        return {}
    cuts = sorted(rng.sample(range(1, 100), len(takers) - 1))
    return {id: high - low for id, low, high in zip(takers, [0, *cuts], [*cuts, 100], strict=True)}


def wish(rng: random.Random, identities: Sequence[Identity] = IDENTITIES) -> Desired:
    """Any desire: a canary, a promotion, all at once, a teardown."""
    return Desired(
        rng.choice([*identities, *identities, None]),
        rng.choice(SERVINGS),
        labels={"team": "a"},
        shares=rng.choice([(100,), (10,), (50,), (10, 50, 100)]),
        smoke=rng.random() < 0.5,
        keep=rng.random() < 0.5,
        remove_foreign=rng.random() < 0.7,
    )


def planned(desired: Desired, live: Live) -> Plan | None:
    """The plan; None where foreign deployments stand in its way, which may not be removed."""
    try:
        return diff(desired, live)
    except Impossible as error:
        said = str(error)
    foreign = {one.id: live.endpoint.share(one.id) for one in live.endpoint.deployed if one.identity is None}
    assert foreign
    assert not desired.remove_foreign
    assert desired.identity is None or max(desired.shares) + sum(foreign.values()) > 100
    assert "--remove-foreign" in said
    assert all(f"(id {id}) with {share} % of the traffic" in said for id, share in foreign.items())
    return None


class Memory:
    """A platform whose steps do what they say, until ``fuse`` of them are done: then it crashes, the next done or not.

    ``check(before, step, after)`` sees every step.
    """

    def __init__(self, live: Live, fuse: int | None = None, done: bool = False, check=lambda before, step, after: None):
        self.live, self.fuse, self.done, self.check = live, fuse, done, check

    def read(self) -> Live:
        return self.live

    def do(self, step: Step) -> None:
        if self.fuse == 0:
            self.fuse = None
            if self.done:
                self._make(step)
            raise Crash(str(step))
        if self.fuse is not None:
            self.fuse -= 1
        self._make(step)

    def _make(self, step: Step) -> None:
        before, self.live = self.live, step.after(self.live)
        self.check(before, step, self.live)
