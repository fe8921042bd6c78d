"""Select versions by role: the candidate of a promotion, its incumbents, the rollback target.

Pure. Decides by aliases and traffic together, because an interrupted command may have moved only one of them. Next:
``plan.py`` plans the steps to a selected version.
"""

from deploy.desired_state import DesiredState
from deploy.live_state import DeployedModel, Endpoint, LiveState, ModelVersion, VersionIdentity
from deploy.plan import Plan
from deploy.steps import SetAlias
from trainer.console.errors import UserError


class NoMatchingVersion(UserError):
    """No version has the role that a command needs; the message says how to get one."""


def select_candidate(live: LiveState, desired: DesiredState) -> VersionIdentity:
    """Return the version to promote: that of the candidate alias, else the serving version where no other has traffic.

    Raises ``NoMatchingVersion``.
    """
    candidate, serving = live.find_by_alias(desired.candidate_alias), live.find_by_alias(desired.serving_alias)
    if candidate and candidate.identity:
        return candidate.identity
    if serving and serving.identity:
        if select_incumbents(live, serving.identity, desired):
            raise NoMatchingVersion(
                f"another version has traffic beside the serving version, and no version has the alias "
                f"{desired.candidate_alias!r}; give --artifact and --image of the version to promote"
            )
        return serving.identity
    raise NoMatchingVersion(
        f"no version has the alias {desired.candidate_alias!r}; apply, or give --artifact and --image"
    )


def select_incumbents(live: LiveState, identity: VersionIdentity, desired: DesiredState) -> list[ModelVersion]:
    """Return the versions that a candidate is compared with: the serving alias, and versions with traffic to lose."""
    numbers = {model.version for model in _models_with_traffic(live.endpoint, desired)}
    serving = live.find_by_alias(desired.serving_alias)
    incumbents = [version for version in live.versions if version is serving or version.number in numbers]
    return [version for version in incumbents if version.identity != identity]


def is_takeover(live: LiveState, plan: Plan, desired: DesiredState) -> bool:
    """Whether a plan gives a version all traffic, or the serving alias, in place of another version."""
    endpoint = plan.final_state.endpoint
    if SetAlias(desired.serving_alias, desired.identity) in plan.steps:
        return True
    if not endpoint or not desired.identity or not _has_all_traffic(endpoint, desired.identity):
        return False
    return any(model.identity != desired.identity for model in _models_with_traffic(live.endpoint, desired))


def select_rollback_target(live: LiveState, desired: DesiredState) -> tuple[VersionIdentity, DeployedModel | None]:
    """Return the version that a rollback returns to, and its deployed model if there is one.

    From a canary, that is the serving version; else the previous one. What an interrupted rollback leaves, traffic that
    has moved or a canary, shows which of the two it was. Raises ``NoMatchingVersion``.
    """
    endpoint = live.endpoint
    if endpoint is None:
        raise NoMatchingVersion("there is no endpoint to roll back; apply creates it")
    serving, previous = live.find_by_alias(desired.serving_alias), live.find_by_alias(desired.previous_alias)
    if serving and serving.identity:
        has_moved = (
            previous and previous.identity and previous != serving and _has_all_traffic(endpoint, previous.identity)
        )
        has_canary = not _has_all_traffic(endpoint, serving.identity) or _has_candidate(live, desired, endpoint)
        if has_canary and not has_moved:
            return serving.identity, next(iter(endpoint.find_deployed(serving.identity)), None)
    if previous is None or previous.identity is None:
        raise NoMatchingVersion(f"there is no version to roll back to: none has the alias {desired.previous_alias!r}")
    return previous.identity, next(iter(endpoint.find_deployed(previous.identity)), None)


def _has_candidate(live: LiveState, desired: DesiredState, endpoint: Endpoint) -> bool:
    """Whether another version has the candidate alias, or the serving version is deployed on a second machine."""
    serving, candidate = live.find_by_alias(desired.serving_alias), live.find_by_alias(desired.candidate_alias)
    is_deployed_twice = serving and serving.identity and len(endpoint.find_deployed(serving.identity)) > 1
    return bool(is_deployed_twice or (candidate and candidate is not serving))


def _models_with_traffic(endpoint: Endpoint | None, desired: DesiredState) -> list[DeployedModel]:
    """Return the deployed models with traffic to lose: foreign ones only where they may be removed."""
    models = endpoint.deployed_models if endpoint else ()
    return [
        model
        for model in models
        if endpoint and endpoint.traffic_percentage(model.id) and (model.identity or desired.remove_foreign)
    ]


def _has_all_traffic(endpoint: Endpoint, identity: VersionIdentity) -> bool:
    """Whether an identity gets all requests that foreign models leave, on whatever machines."""
    traffic = sum(endpoint.traffic_percentage(model.id) for model in endpoint.find_deployed(identity))
    return 0 < traffic == endpoint.available_traffic
