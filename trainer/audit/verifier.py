"""Is a verifier too good to be true? It is when forgers who practised fool it less than people who did not try.

A skilled forgery is nearer to the genuine signature than another person's own, so its equal error rate has to be the
higher one. Where it is not, the model tells scanners apart. Knows a report's numbers only.
"""

from typing import Any

from trainer.audit.finding import UNTRUE, Finding


def findings(report: dict[str, Any]) -> list[Finding]:
    """What ``report.json`` gives away: one finding for each number of references that is suspect."""
    verification = report.get("verification")
    references = verification.get("references", {}) if isinstance(verification, dict) else {}
    return [
        Finding(
            UNTRUE, "skilled_below_random",
            f"with {count} references the equal error rate for skilled forgeries ({rates['eer_skilled']:.2f} %) is "
            f"below that for random ones ({rates['eer_random']:.2f} %): the verifier tells scans apart, not hands. "
            "Look at the leak probe of the data.",
        )
        for count, rates in references.items()
        if rates.get("eer_skilled") is not None
        and rates.get("eer_random") is not None
        and rates["eer_skilled"] < rates["eer_random"]
    ]  # fmt: skip
