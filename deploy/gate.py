"""The promotion gate: compares the audit and the error rates of a candidate with those of the serving version.

Pure. Next: ``promotion_checks.py`` selects the versions to compare.
"""

from collections.abc import Mapping

from trainer.artifact.manifest import Manifest, read_error_rates
from trainer.console.errors import UserError


class PromotionRefused(UserError):
    """The candidate does not pass the gate; the message lists the reasons."""


def list_objections(
    candidate: Manifest, serving_rates: Mapping[str, float] | None, max_error_increase: float
) -> list[str]:
    """Return the reasons against a promotion; empty if the candidate passes.

    ``serving_rates`` are the error rates of the serving version, in percent by name; None without a serving version. A
    rate may be ``max_error_increase`` points higher; with 100, a serving version without rates is accepted.
    """
    objections = []
    if serving_rates == {} and max_error_increase < 100:
        objections.append(
            "the serving version has no evaluation to compare with; --max-error-increase 100 promotes without one"
        )
    audit = candidate.training.get("audit")
    if audit is None:
        objections.append("the artefact does not record the audit of its data; train it again")
    elif audit.get("error"):
        codes = ", ".join(audit["error"])
        objections.append(f"its audit failed, the published numbers are better than the truth: {codes}")
    rates = read_error_rates(candidate)
    objections += [f"{name} is {rate}, which is no error rate" for name, rate in rates.items() if not 0 <= rate <= 100]
    if not rates:
        objections.append("the artefact has no published error rates; train it again, or measure it on unseen data")
    for name, serving_rate in sorted((serving_rates or {}).items()):
        if rates and name not in rates:
            objections.append(f"{name} was not measured; the serving version has {serving_rate:.2f} %")
        elif rates and not rates[name] <= serving_rate + max_error_increase:
            objections.append(
                f"{name} is {rates[name]:.2f} %, {rates[name] - serving_rate:.2f} points above the serving version; "
                f"{max_error_increase:g} are accepted"
            )
    return objections


def check(candidate: Manifest, serving_rates: Mapping[str, float] | None, max_error_increase: float) -> None:
    """Raise ``PromotionRefused`` with all objections."""
    if objections := list_objections(candidate, serving_rates, max_error_increase):
        raise PromotionRefused("not promoted:\n" + "\n".join(f"  - {objection}" for objection in objections))
