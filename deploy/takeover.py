"""May a version take all traffic from those that serve? Puts the choice of rivals and the gate together.

Knows a platform and settings, not flags. Next: ``gate.py`` compares the numbers, ``choose.py`` says with whose.
"""

import dataclasses

from deploy import choose, gate
from deploy.live import Identity, Live
from deploy.perform import Platform
from deploy.plan import Desired, Plan
from deploy.spec import Environment
from trainer.console.errors import UserError


def check(platform: Platform, desired: Desired, made: Plan, live: Live) -> None:
    """Pass the gate where a plan lets a version take over from others. Raises ``Refused``."""
    if desired.identity and platform.environment.model.gated and choose.takes_over(live, made, desired):
        check_gate(platform, desired, desired.identity, live)


def check_gate(platform: Platform, desired: Desired, identity: Identity, live: Live) -> None:
    """Compare an identity with every version that serves. Raises ``Refused``."""
    candidate = platform.release(identity).manifest
    rivals = choose.rivals(live, identity, desired)
    measured: list[dict[str, float] | None] = [dict(rival.errors) for rival in rivals]
    for serving in measured or [None]:
        gate.check(candidate, serving, platform.environment.model.tolerance)
    told = ", ".join(f"{name} {rate:.2f} %" for name, rate in gate.errors(candidate).items())
    print(f"the gate is open: {told}" + ("" if rivals else f"; {_alone(desired, identity, live)}"))
    for rival in rivals:
        beside = ", ".join(f"{name} {rate:.2f} %" for name, rate in rival.errors.items())
        print(f"  version {rival.number} serves: {beside or 'no numbers'}")


def check_deployed(environment: Environment, identity: Identity, live: Live) -> None:
    """A promotion moves traffic only: an identity has to be deployed as declared. Raises ``UserError``."""
    deployed = live.endpoint.of(identity) if live.endpoint else []
    if live.endpoint is None or not deployed:
        what = live.title(identity) if live.version(identity) else f"artefact {identity}"
        raise UserError(f"{what} is not deployed at {environment.endpoint.endpoint_id}; apply comes before promote")
    if environment.serving not in [one.serving for one in deployed]:
        there, declared = (dataclasses.asdict(of) for of in (deployed[0].serving, environment.serving))
        changed = [key for key in declared if there[key] != declared[key]]
        raise UserError(
            f"promote moves traffic only, and {live.endpoint.title(deployed[0].id)} is not deployed as "
            f"{environment.name} declares it:\n"
            + "".join(f"  - {key}: {there[key]!r} deployed, {declared[key]!r} declared\n" for key in changed)
            + "run apply first, or give promote the values that are deployed"
        )


def _alone(desired: Desired, identity: Identity, live: Live) -> str:
    """Why a candidate is compared with no version."""
    serving, endpoint = live.aliased(desired.serving_alias), live.endpoint
    with_traffic = endpoint and any(endpoint.share(one.id) for one in endpoint.of(identity))
    if with_traffic or (serving and serving.identity == identity):
        return f"it is {live.title(identity)}, which serves already"
    return "nobody serves yet"
