"""Run all checks on an image index: an ``Audit`` of numbers, findings, and pairs of duplicates.

Each check is one file. Next: ``duplicates.py``, ``shortcuts.py``, ``statistics.py``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trainer.audit import duplicates, shortcuts, statistics
from trainer.audit.duplicates import Search
from trainer.audit.finding import Finding, Severity
from trainer.corpora import CorpusListing

if TYPE_CHECKING:
    from trainer.data.image_index import ImageIndex


@dataclasses.dataclass(frozen=True)
class Audit:
    """The result of all checks.

    ``content`` is JSON with stable keys (docs/audit.md), ``duplicate_pairs`` are pairs of sample numbers whose images
    are equal or nearly so.
    """

    content: dict[str, Any]
    findings: list[Finding]
    duplicate_pairs: list[tuple[int, int]]

    @property
    def has_errors(self) -> bool:
        """Whether a finding makes published numbers better than the truth."""
        return any(finding.severity is Severity.ERROR for finding in self.findings)


def run_audit(
    index: ImageIndex,
    listings: list[CorpusListing],
    test_count: int = 0,
    extra_findings: Sequence[Finding] = (),
    about_unseen_writers: bool = True,
    search: Search = duplicates.find_near_duplicates,
) -> Audit:
    """Run every check on an image index.

    The last ``test_count`` listings are the test data, the others the training data. ``extra_findings`` come from
    other checks. ``about_unseen_writers`` is False for a closed set, whose test writers are in the training data:
    shared, few or unknown writers are no findings then. ``search`` finds near duplicates.
    """
    splits = duplicates.find_declared_splits(index.samples, listings, test_count)
    pairs = duplicates.find_duplicates(index, search)
    content: dict[str, Any] = {
        "images": len(index.samples),
        "imaging": dataclasses.asdict(index.imaging),
        "sources": statistics.summarize_corpora(listings),
        "labels": statistics.summarize_labels(index),
        "refused": [{"image": _format_name(index, number), "reason": why} for number, why in index.list_rejected()],
        "duplicates": duplicates.summarize_duplicates(index.samples, pairs, splits),
        "writer_overlap": duplicates.find_writer_overlap(index.samples, splits),
        "leak": shortcuts.probe_corpora(index),
    }
    findings = [
        *extra_findings,
        *duplicates.derive_findings(content),
        *shortcuts.derive_findings(content, index.imaging),
        *statistics.derive_findings(content),
    ]
    if about_unseen_writers:
        findings += [*duplicates.derive_overlap_findings(content), *statistics.derive_writer_findings(content)]
    findings.sort(key=lambda finding: finding.rank)
    content["findings"] = [finding.to_dict() for finding in findings]
    return Audit(content, findings, [(i, j) for i, j, _ in pairs])


def _format_name(index: ImageIndex, number: int) -> str:
    sample = index.samples[number]
    return f"{sample.corpus_id}/{sample.name}"
