"""A survey to an ``Audit``: numbers for machines, findings in words, and pairs of images that must stay together.

The order of things; what is looked at is one file each. Next: ``copies.py``, ``shortcuts.py``, ``statistics.py``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from trainer.audit import copies, shortcuts, statistics
from trainer.audit.finding import UNTRUE, Finding
from trainer.corpora import Reading

if TYPE_CHECKING:
    from trainer.data.image_index import Survey


@dataclasses.dataclass(frozen=True)
class Audit:
    """``content`` is JSON with stable keys, see docs/audit.md; ``twins`` are pairs of sample numbers that are one image
    or nearly so."""

    content: dict[str, Any]
    findings: list[Finding]
    twins: list[tuple[int, int]]

    @property
    def makes_numbers_untrue(self) -> bool:
        """Whether something would make published numbers better than the truth."""
        return any(finding.severity == UNTRUE for finding in self.findings)


def examine(
    look: Survey,
    readings: list[Reading],
    tests: int = 0,
    meaning: Callable[[str], str] = lambda label: label,
    more: Sequence[Finding] = (),
) -> Audit:
    """Everything that can be told from a survey.

    The last ``tests`` readings are what a model will be tested on, the others what it learns from. ``meaning`` is what
    a problem makes of a label: genuine and forged may both be signatures. ``more`` are findings from elsewhere.
    """
    meant = dataclasses.replace(
        look, samples=[dataclasses.replace(sample, label=meaning(sample.label)) for sample in look.samples]
    )
    parts = copies.declared_parts(look.samples, readings, tests)
    found = copies.find(look)
    content: dict[str, Any] = {
        "images": len(look.samples),
        "imaging": dataclasses.asdict(look.imaging),
        "sources": statistics.sources(readings),
        "labels": statistics.labels(meant),
        "refused": [{"image": _name(look, number), "reason": reason} for number, reason in look.refused()],
        "duplicates": copies.describe(meant.samples, found, parts),
        "crossing": copies.crossing(look.samples, parts),
        "leak": shortcuts.describe(look, meant),
    }
    findings = [
        *more,
        *copies.findings(content),
        *shortcuts.findings(content, look.imaging),
        *statistics.findings(content),
    ]
    findings.sort(key=lambda finding: finding.order)
    content["findings"] = [finding.describe() for finding in findings]
    return Audit(content, findings, [(i, j) for i, j, _ in found])


def _name(look: Survey, number: int) -> str:
    sample = look.samples[number]
    return f"{sample.origin}/{sample.name}"
