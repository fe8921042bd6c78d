"""May a version take all traffic from those that serve? Puts the choice of rivals and the gate together.

Knows a platform and settings, not flags. Next: ``gate.py`` compares the numbers, ``choose.py`` says with whose.
"""

from deploy import choose, gate
from deploy.live import Identity, Live
from deploy.perform import Platform
from deploy.plan import Desired, Plan


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
    print(f"the gate is open: {told}" + "; nobody serves yet" * (not rivals))
    for rival in rivals:
        beside = ", ".join(f"{name} {rate:.2f} %" for name, rate in rival.errors.items())
        print(f"  version {rival.number} serves: {beside or 'no numbers'}")
