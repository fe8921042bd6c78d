"""Whether a candidate may be promoted: its audit, and its error rates beside those of the version that serves.

Pure: knows manifests and numbers, not where they come from.
"""

from collections.abc import Mapping

from trainer.artifact.manifest import Manifest
from trainer.console.errors import UserError


class Refused(UserError):
    """The candidate is not promoted; the message lists the reasons."""


def errors(candidate: Manifest) -> dict[str, float]:
    """Its published error rates in percent, by name."""
    return dict(candidate.metrics.get("errors", {}))


def objections(candidate: Manifest, serving: Mapping[str, float] | None, tolerance: float) -> list[str]:
    """Why not to promote, empty if it may be.

    ``serving`` are the error rates of the version that serves, in percent by name; None: there is none yet. A rate may
    be ``tolerance`` points higher; with 100 nothing is compared.
    """
    found = []
    if serving == {} and tolerance < 100:
        found.append("the version that serves has no evaluation to compare with; a tolerance of 100 does without")
    audit = candidate.training.get("audit")
    if audit is None:
        found.append("the artefact does not say what the audit of its data found; train it again")
    elif audit.get("untrue"):
        found.append(f"its audit failed, the published numbers are better than the truth: {', '.join(audit['untrue'])}")
    own = errors(candidate)
    found += [f"{name} is {rate}, which is no error rate" for name, rate in own.items() if not 0 <= rate <= 100]
    if not own:
        found.append("the artefact has no published error rates; train it again, or measure it on unseen data")
    for name, rate in sorted((serving or {}).items()):
        if own and name not in own:
            found.append(f"{name} was not measured; the version that serves has {rate:.2f} %")
        elif own and not own[name] <= rate + tolerance:
            found.append(
                f"{name} is {own[name]:.2f} %, {own[name] - rate:.2f} points above the version that serves; "
                f"{tolerance:g} are tolerated"
            )
    return found


def check(candidate: Manifest, serving: Mapping[str, float] | None, tolerance: float) -> None:
    """Raises ``Refused`` with every reason."""
    if found := objections(candidate, serving, tolerance):
        raise Refused("not promoted:\n" + "\n".join(f"  - {reason}" for reason in found))
