"""Check the report of a verifier for an implausible order of its error rates.

A skilled forgery is more similar to the genuine signature than a random one is, so the equal error rate for skilled
forgeries has to be the higher one. A significantly lower one means that the model recognises scanners. Significantly
means that the 95 % intervals of the two rates do not overlap: with few writers, the order of the two values is chance.
Works on the numbers of a report. Next: ``evaluation/report.py`` runs the check for every report.
"""

from typing import Any

from trainer.audit.finding import Finding, Severity

RATES = ("eer_skilled", "eer_random")


def derive_findings(report: dict[str, Any]) -> list[Finding]:
    """Return one finding for each number of references whose rates in ``report.json`` are suspect."""
    verification = report.get("verification")
    references = verification.get("references", {}) if isinstance(verification, dict) else {}
    return [_make_finding(count, rates) for count, rates in references.items() if _is_suspect(rates)]


def _is_suspect(rates: dict[str, Any]) -> bool:
    """Whether the interval for skilled forgeries lies wholly below that for random ones; not if one is missing."""
    skilled, random = (rates.get(f"{name}_interval") for name in RATES)
    return skilled is not None and random is not None and skilled[1] < random[0]


def _make_finding(count: str, rates: dict[str, Any]) -> Finding:
    skilled, random = (
        f"{rates[name]:.2f} %, 95 % interval {rates[f'{name}_interval'][0]:.1f} to {rates[f'{name}_interval'][1]:.1f}"
        for name in RATES
    )
    return Finding(
        Severity.ERROR,
        "skilled_below_random",
        f"with {count} references the equal error rate for skilled forgeries ({skilled}) is below that for random ones "
        f"({random}): the verifier recognises scanners instead of writers. See the leak probe of the data.",
    )
