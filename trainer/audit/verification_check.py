"""Is a verifier too good to be true? It is when forgers who practised fool it less than people who did not try.

A skilled forgery is nearer to the genuine signature than another person's own, so its equal error rate has to be the
higher one. Where it is surely lower, the model tells scanners apart. Surely means that the 95 % intervals of the two
rates do not overlap: with few writers the order of the two values alone is chance. Knows a report's numbers only.
"""

from typing import Any

from trainer.audit.finding import UNTRUE, Finding

RATES = ("eer_skilled", "eer_random")


def findings(report: dict[str, Any]) -> list[Finding]:
    """What ``report.json`` gives away: one finding for each number of references that is suspect."""
    verification = report.get("verification")
    references = verification.get("references", {}) if isinstance(verification, dict) else {}
    return [_finding(count, rates) for count, rates in references.items() if _is_suspect(rates)]


def _is_suspect(rates: dict[str, Any]) -> bool:
    """Whether the interval for skilled forgeries lies wholly below that for random ones; not where one is missing."""
    skilled, random = (rates.get(f"{name}_interval") for name in RATES)
    return skilled is not None and random is not None and skilled[1] < random[0]


def _finding(count: str, rates: dict[str, Any]) -> Finding:
    skilled, random = (
        f"{rates[name]:.2f} %, 95 % interval {rates[f'{name}_interval'][0]:.1f} to {rates[f'{name}_interval'][1]:.1f}"
        for name in RATES
    )
    return Finding(
        UNTRUE, "skilled_below_random",
        f"with {count} references the equal error rate for skilled forgeries ({skilled}) is below that for random ones "
        f"({random}): the verifier tells scans apart, not hands. Look at the leak probe of the data.",
    )  # fmt: skip
