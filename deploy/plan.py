"""What is wanted, what there is, and the steps between: pure functions, so that a plan can be read before it is done.

``diff`` keeps two promises for every beginning of its steps: traffic sums to 100 (or there is none), and nothing that
has traffic is undeployed. From any state that an interrupted plan leaves, the next one leads to the same end. Knows no
SDK. Next: ``apply.py`` carries plans out.
"""

import dataclasses
from collections.abc import Mapping

from deploy.live import Deployed, Endpoint, Identity, Live, Serving, Version, deployed_id
from deploy.shares import blend
from deploy.steps import (
    Alias,
    CreateEndpoint,
    DeleteEndpoint,
    Deploy,
    Evaluate,
    Label,
    Register,
    Resize,
    Smoke,
    Step,
    Store,
    Traffic,
    Undeploy,
    titled,
)
from trainer.console.errors import UserError


class Impossible(UserError):
    """No steps lead from what there is to what is wanted; the message says what stands in the way."""


@dataclasses.dataclass(frozen=True)
class Desired:
    """What an environment is to become. ``None`` as identity: nothing is to answer, and no endpoint is to remain.

    ``shares`` are the percentages of the traffic to go through, each after a smoke test of the one before where
    ``smoke`` says so; ``serving_alias`` is of the version that has all of it, ``candidate_alias`` of one that has a
    part, ``before_alias`` of the one that had it before; ``keep`` says whether that one stays deployed, to return to.
    ``retreat``: a rollback, which changes traffic and aliases and as little else as can be, and leaves nobody to return
    to. A foreign deployment, one that this tool did not make, keeps its traffic and stays deployed unless
    ``remove_foreign``.
    """

    identity: Identity | None
    serving: Serving
    dedicated: bool = True
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    shares: tuple[int, ...] = (100,)
    smoke: bool = False
    keep: bool = True
    retreat: bool = False
    remove_foreign: bool = False
    serving_alias: str = "champion"
    candidate_alias: str = "challenger"

    @property
    def before_alias(self) -> str:
        """Whom a rollback returns to."""
        return f"{self.serving_alias}-before"


@dataclasses.dataclass(frozen=True)
class Plan:
    """``steps`` in order, and what is ``unneeded``, each with the reason; ``end`` is the state they lead to."""

    steps: tuple[Step, ...]
    unneeded: tuple[str, ...]
    end: Live


class _Draft:
    """A plan being written: knows the state that the steps so far lead to."""

    def __init__(self, live: Live):
        self.live = live
        self.steps: list[Step] = []
        self.unneeded: list[str] = []

    def do(self, *steps: Step) -> None:
        for step in steps:
            self.steps.append(titled(step, self.live))
            self.live = step.after(self.live)

    def unless(self, there: object, step: Step, reason: str) -> None:
        if there:
            self.unneeded.append(f"{titled(step, self.live)}: {reason}")
        else:
            self.do(step)


def diff(desired: Desired, live: Live) -> Plan:
    """The steps from what there is to what is wanted. Raises ``Impossible``."""
    draft = _Draft(live)
    _check_foreign(desired, live.endpoint)
    if desired.identity is None:
        _remove(draft, desired)
    else:
        _check_way_back(desired, live)
        if not desired.retreat:
            _register(draft, desired.identity)
            _endpoint(draft, desired)
        id = _deploy(draft, desired, desired.identity)
        _challenge(draft, desired, desired.identity, id)
        _shift(draft, desired, desired.identity, id)
        _name(draft, desired, desired.identity, id)
        _tidy(draft, desired, id)
        _unname(draft, desired)
    return Plan(tuple(draft.steps), tuple(draft.unneeded), draft.live)


def _check_way_back(desired: Desired, live: Live) -> None:
    """A rollback makes nothing: where it leads has to be there. Raises ``Impossible``."""
    if desired.retreat and (live.endpoint is None or live.version(desired.identity) is None):
        raise Impossible("the endpoint, or the version to return to, is not there any more; look with 'status'")


def _check_foreign(desired: Desired, endpoint: Endpoint | None) -> None:
    """Foreign deployments keep their traffic, and their endpoint, unless they may be removed. Raises ``Impossible``."""
    if endpoint is None or not endpoint.foreign or desired.remove_foreign:
        return
    names = [f"{endpoint.title(one.id)} with {endpoint.share(one.id)} % of the traffic" for one in endpoint.foreign]
    found = f"this tool did not deploy what is at the endpoint beside it: {', '.join(names)}"
    if desired.identity is None:
        raise Impossible(f"{found}. To remove that with the endpoint, give --remove-foreign")
    left, wanted = endpoint.own_traffic, max(desired.shares)
    if wanted > left and not (desired.retreat and left):
        raise Impossible(
            f"{found}. It keeps its share, so a version of this model can have {left} %, not {wanted} %. To take its "
            "traffic and undeploy it, give --remove-foreign"
            + (f"; to leave it, give --traffic {left} or less" if left and len(desired.shares) == 1 else "")
        )


def _register(draft: _Draft, identity: Identity) -> None:
    version = draft.live.version(identity)
    known = f"version {version.number} is this identity" if version else ""
    draft.unless(identity.artifact in draft.live.stored, Store(identity), "it is there, complete")
    draft.unless(version, Register(identity), known)
    draft.unless(version and version.evaluated, Evaluate(identity), "the version has one")


def _endpoint(draft: _Draft, desired: Desired) -> None:
    endpoint = draft.live.endpoint
    if endpoint and endpoint.dedicated != desired.dedicated:
        kinds = {True: "dedicated", False: "shared"}
        raise Impossible(
            f"the endpoint is {kinds[endpoint.dedicated]} and cannot become {kinds[desired.dedicated]}; choose another "
            "endpoint id, or tear this one down first"
        )
    draft.unless(endpoint, CreateEndpoint(desired.dedicated, dict(desired.labels)), "it exists")
    if endpoint:
        draft.unless(dict(endpoint.labels) == dict(desired.labels), Label(dict(desired.labels)), "it has them")


def _deploy(draft: _Draft, desired: Desired, identity: Identity) -> str:
    """The id under which the identity answers on the wanted machine."""
    assert draft.live.endpoint is not None  # noqa: S101 - made a step earlier
    there = [one for one in draft.live.endpoint.of(identity) if one.serving.fixed == desired.serving.fixed]
    id = there[0].id if there else deployed_id(identity, desired.serving)
    draft.unless(there, Deploy(id, identity, desired.serving), "it answers there already")
    if there:
        draft.unless(there[0].serving == desired.serving, Resize(id, desired.serving), "it has that size")
    return id


def _challenge(draft: _Draft, desired: Desired, identity: Identity, id: str) -> None:
    """Who takes traffic from another has a name before: a rollback that is cut off sees by it where it was going."""
    assert draft.live.endpoint is not None  # noqa: S101
    serving, had = draft.live.aliased(desired.serving_alias), draft.live.aliased(desired.candidate_alias)
    rival = serving and serving.identity != identity
    if rival and not desired.retreat and draft.live.endpoint.share(id) < desired.shares[-1]:
        named = had and had is draft.live.version(identity)
        draft.unless(named, Alias(desired.candidate_alias, identity), "it has it")


def _shift(draft: _Draft, desired: Desired, identity: Identity, id: str) -> None:
    """Traffic through the shares; a version that has more already is not set back."""
    assert draft.live.endpoint is not None  # noqa: S101
    before, copies = draft.live.endpoint.traffic, len(draft.live.endpoint.of(identity))
    takes_all = any(isinstance(step, Deploy) for step in draft.steps) and draft.live.endpoint.share(id) == 100
    if takes_all:
        whole = titled(Traffic({id: 100}), draft.live)
        draft.unneeded.append(f"{whole}: where nothing has traffic, the deployment takes all of it")
    for share in () if takes_all else desired.shares:
        endpoint = draft.live.endpoint
        has = endpoint.share(id)
        if desired.smoke and 0 < has < share:
            draft.do(Smoke(id, identity))
        foreign = {} if desired.remove_foreign else {one.id: endpoint.share(one.id) for one in endpoint.foreign}
        room = 100 - sum(foreign.values())
        share = min(share, room)  # of a rollback; others were refused
        own = {other: old for other, old in _served(draft, desired).items() if other not in foreign}
        split = {**{other: old for other, old in foreign.items() if old}, **blend(own, id, share, room)}
        draft.unless(has >= share, Traffic(split), f"it has {has} % already")
    version = draft.live.version(identity)
    named = version and _alias_for(draft, desired, identity, id) in version.aliases
    moves = draft.live.endpoint.serves(id) and copies > 1  # from another machine, which is about to go
    if desired.smoke and (draft.live.endpoint.traffic != before or not named or moves):
        draft.do(Smoke(id, identity))


def _served(draft: _Draft, desired: Desired) -> Mapping[str, int]:
    """The traffic that others share: of the version that serves, where it has any; other canaries lose theirs."""
    endpoint, serving = draft.live.endpoint, draft.live.aliased(desired.serving_alias)
    assert endpoint is not None  # noqa: S101
    own = {id: endpoint.share(id) for id in endpoint.traffic if serving and _is(draft, id, serving)}
    return own if any(own.values()) else endpoint.traffic


def _is(draft: _Draft, id: str, version: Version) -> bool:
    assert draft.live.endpoint is not None  # noqa: S101
    return any(one.id == id and one.version == version.number for one in draft.live.endpoint.deployed)


def _alias_for(draft: _Draft, desired: Desired, identity: Identity, id: str) -> str:
    """The alias that goes with the traffic of ``id``; who serves keeps its own while it moves to another machine."""
    assert draft.live.endpoint is not None  # noqa: S101
    serving = draft.live.aliased(desired.serving_alias)
    serves = draft.live.endpoint.serves(id) or (serving and serving.identity == identity)
    return desired.serving_alias if serves else desired.candidate_alias


def _name(draft: _Draft, desired: Desired, identity: Identity, id: str) -> None:
    """Aliases follow the traffic."""
    wanted = _alias_for(draft, desired, identity, id)
    version, had = draft.live.version(identity), draft.live.aliased(wanted)
    hands_over = wanted == desired.serving_alias and had and had.identity not in (None, identity)
    if hands_over and had and not desired.retreat:
        earlier = Alias(desired.before_alias, had.identity)
        draft.unless(had is draft.live.aliased(desired.before_alias), earlier, "it has it")
    draft.unless(had and had is version, Alias(wanted, identity), "it has it")


def _unname(draft: _Draft, desired: Desired) -> None:
    """Take away names that say nothing any more. Last of all: until then they tell what is under way."""
    for alias in (desired.candidate_alias, desired.before_alias):
        has = draft.live.aliased(alias)
        serves = draft.live.aliased(desired.serving_alias)
        if not has:
            continue
        if alias == desired.candidate_alias:
            left = has is serves or desired.retreat or not _answers(draft, has)
        else:
            left = has is serves and desired.retreat
        if left:
            draft.do(Alias(alias, None))


def _answers(draft: _Draft, version: Version) -> bool:
    endpoint = draft.live.endpoint
    return bool(endpoint and version.identity and endpoint.of(version.identity))


def _tidy(draft: _Draft, desired: Desired, id: str) -> None:
    """Undeploy what has no traffic, but for what is wanted, what may be returned to, and what is foreign."""
    endpoint = draft.live.endpoint
    assert endpoint is not None  # noqa: S101
    before = draft.live.aliased(desired.before_alias)
    kept: Deployed | None = None
    whole = endpoint.serves(id)  # else whoever has the rest is who to return to
    if desired.keep and whole and before and before.identity and before.identity != desired.identity:
        kept = next(iter(endpoint.of(before.identity)), None)
    for one in endpoint.deployed:
        if one.identity is None and not desired.remove_foreign:
            reason = "this tool did not deploy it; --remove-foreign takes its traffic and undeploys it"
            draft.unneeded.append(f"undeploy {endpoint.title(one.id)}: {reason}")
            continue
        if endpoint.share(one.id):
            continue
        if one == kept:
            draft.unneeded.append(f"undeploy {endpoint.title(one.id)}: it is kept, to roll back to")
        elif one.id != id:
            draft.do(Undeploy(one.id))


def _remove(draft: _Draft, desired: Desired) -> None:
    endpoint = draft.live.endpoint
    if endpoint is None:
        draft.unneeded.append("delete the endpoint: there is none")
        return
    if endpoint.traffic:
        draft.do(Traffic({}))
    draft.do(*(Undeploy(one.id) for one in endpoint.deployed), DeleteEndpoint())
    if draft.live.aliased(desired.candidate_alias):
        draft.do(Alias(desired.candidate_alias, None))
