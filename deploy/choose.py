"""Which version a command means: the candidate, the one to return to, those that a candidate is compared with.

Pure: decides by aliases and traffic together, because an interrupted command may have moved one and not yet the other.
Knows the live state, not the SDK. Next: ``plan.py`` says how to get there.
"""

from deploy.live import Deployed, Endpoint, Identity, Live, Version
from deploy.plan import Desired, Plan
from deploy.steps import Alias
from trainer.console.errors import UserError


class NoChoice(UserError):
    """There is no version that a command could mean; the message says what makes one."""


def candidate(live: Live, desired: Desired) -> Identity:
    """What is to be promoted: the version with the candidate's alias, else the one that serves, alone.

    Raises ``NoChoice``.
    """
    named, serving = live.aliased(desired.candidate_alias), live.aliased(desired.serving_alias)
    if named and named.identity:
        return named.identity
    if serving and serving.identity:
        if rivals(live, serving.identity, desired):
            raise NoChoice(
                f"somebody has traffic beside the version that serves, and no version has the alias "
                f"{desired.candidate_alias!r}; give --artifact and --image of what is to be promoted"
            )
        return serving.identity
    raise NoChoice(f"no version has the alias {desired.candidate_alias!r}; apply, or give --artifact and --image")


def rivals(live: Live, identity: Identity, desired: Desired) -> list[Version]:
    """Whom a candidate is compared with: the version with the serving alias, and whoever else has traffic to lose."""
    numbers = {one.version for one in _competing(live.endpoint, desired)}
    serving = live.aliased(desired.serving_alias)
    found = [one for one in live.versions if one is serving or one.number in numbers]
    return [one for one in found if one.identity != identity]


def takes_over(live: Live, made: Plan, desired: Desired) -> bool:
    """Whether a plan gives a version all traffic, or the name for that, in place of others."""
    before, after = live.endpoint, made.end.endpoint
    whole = after and desired.identity and _serves(after, desired.identity)
    named = Alias(desired.serving_alias, desired.identity) in made.steps
    return bool(named or (whole and any(one.identity != desired.identity for one in _competing(before, desired))))


def retreat(live: Live, desired: Desired) -> tuple[Identity, Deployed | None]:
    """Whom a rollback returns to, and where that answers if it is deployed. Raises ``NoChoice``.

    From a canary to the version that serves, else to the one before. An interrupted rollback is gone on with: what it
    leaves, traffic that was moved already or a canary that is still there, says which of the two it was.
    """
    endpoint = live.endpoint
    if endpoint is None:
        raise NoChoice("there is no endpoint to roll back; apply makes it")
    serving, before = live.aliased(desired.serving_alias), live.aliased(desired.before_alias)
    if serving and serving.identity:
        going_back = before and before.identity and _serves(endpoint, before.identity) and before != serving
        if not going_back and (not _serves(endpoint, serving.identity) or _is_challenged(live, desired, endpoint)):
            return serving.identity, next(iter(endpoint.of(serving.identity)), None)
    if before is None or before.identity is None:
        raise NoChoice(f"there is no version to roll back to: none has the alias {desired.before_alias!r}")
    return before.identity, next(iter(endpoint.of(before.identity)), None)


def _is_challenged(live: Live, desired: Desired, endpoint: Endpoint) -> bool:
    """Whether somebody has the candidate's name, or who serves is at the endpoint twice: on another machine, too."""
    serving, candidate = live.aliased(desired.serving_alias), live.aliased(desired.candidate_alias)
    twice = serving and serving.identity and len(endpoint.of(serving.identity)) > 1
    return bool(twice or (candidate and candidate is not serving))


def _competing(endpoint: Endpoint | None, desired: Desired) -> list[Deployed]:
    """What has traffic and may lose it: foreign deployments only where they may be removed."""
    with_traffic = [one for one in endpoint.deployed if endpoint.share(one.id)] if endpoint else []
    return [one for one in with_traffic if one.identity or desired.remove_foreign]


def _serves(endpoint: Endpoint, identity: Identity) -> bool:
    """Whether an identity has all requests that foreign deployments leave."""
    return 0 < sum(endpoint.share(one.id) for one in endpoint.of(identity)) == endpoint.own_traffic
