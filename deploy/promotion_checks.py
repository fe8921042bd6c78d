"""Checks before a version takes traffic: the gate against each incumbent, and deployment as declared.

Next: ``gate.py`` compares error rates, ``version_selection.py`` selects the incumbents.
"""

import dataclasses
from collections.abc import Callable, Mapping

from deploy import gate, version_selection
from deploy.desired_state import DesiredState
from deploy.live_state import LiveState, VersionIdentity
from deploy.plan import Plan
from deploy.release import Release
from deploy.spec import Environment
from trainer.artifact.manifest import read_error_rates
from trainer.console.errors import UserError

OpenRelease = Callable[[VersionIdentity], Release]


def check_takeover(
    environment: Environment, desired: DesiredState, plan: Plan, live: LiveState, open_release: OpenRelease
) -> None:
    """Check the gate where a plan replaces the serving version. Raises ``PromotionRefused``."""
    if desired.identity and environment.model.gated and version_selection.is_takeover(live, plan, desired):
        check_candidate(environment, desired, open_release(desired.identity), live)


def check_candidate(environment: Environment, desired: DesiredState, candidate: Release, live: LiveState) -> None:
    """Compare a candidate with each incumbent at the gate, and print the rates. Raises ``PromotionRefused``."""
    incumbents = version_selection.select_incumbents(live, candidate.identity, desired)
    incumbent_rates: list[Mapping[str, float] | None] = [dict(incumbent.error_rates) for incumbent in incumbents]
    for serving_rates in incumbent_rates or [None]:
        gate.check(candidate.manifest, serving_rates, environment.model.max_error_increase)
    reason = "" if incumbents else f"; {_explain_no_incumbent(desired, candidate.identity, live)}"
    print(f"the candidate passes the gate: {_format(read_error_rates(candidate.manifest))}{reason}")
    for incumbent in incumbents:
        print(f"  version {incumbent.number} serves: {_format(incumbent.error_rates) or 'no error rates'}")


def check_deployed(environment: Environment, identity: VersionIdentity, live: LiveState) -> None:
    """Require that a version is deployed as the environment declares: promote moves traffic only.

    Raises ``UserError``.
    """
    models = live.endpoint.find_deployed(identity) if live.endpoint else []
    if live.endpoint is None or not models:
        title = live.describe_version(identity) if live.find_version(identity) else f"artefact {identity}"
        raise UserError(f"{title} is not deployed at {environment.endpoint.endpoint_id}; apply comes before promote")
    if environment.serving_config not in [model.serving_config for model in models]:
        deployed = dataclasses.asdict(models[0].serving_config)
        declared = dataclasses.asdict(environment.serving_config)
        differences = [
            f"  - {key}: {deployed[key]!r} deployed, {declared[key]!r} declared\n"
            for key in declared
            if deployed[key] != declared[key]
        ]
        raise UserError(
            f"promote moves traffic only, and {live.endpoint.describe(models[0].id)} is not deployed as "
            f"{environment.name} declares it:\n"
            + "".join(differences)
            + "run apply first, or give promote the values that are deployed"
        )


def _format(error_rates: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {rate:.2f} %" for name, rate in error_rates.items())


def _explain_no_incumbent(desired: DesiredState, identity: VersionIdentity, live: LiveState) -> str:
    serving, endpoint = live.find_by_alias(desired.serving_alias), live.endpoint
    models = endpoint.find_deployed(identity) if endpoint else []
    has_traffic = endpoint and any(endpoint.traffic_percentage(model.id) for model in models)
    if has_traffic or (serving and serving.identity == identity):
        return f"it is {live.describe_version(identity)}, which serves already"
    return "no version serves yet"
