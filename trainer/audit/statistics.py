"""Statistics of the data: corpora, labels, writers, sizes, file formats, warnings; and findings about balance.

Next: ``render.py`` makes tables of them.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.audit.finding import Finding, Severity
from trainer.corpora import CorpusListing

if TYPE_CHECKING:
    from trainer.data.image_index import ImageIndex


MAX_IMBALANCE = 10  # times as many images of one label as of another
FEW_WRITERS = 10  # of a label; confidence intervals over fewer are too wide


def summarize_corpora(listings: list[CorpusListing]) -> list[dict[str, Any]]:
    """Return one entry for each corpus, with the layout that it was read by."""
    return [
        {
            "corpus_id": listing.corpus_id,
            "layout": listing.layout,
            "images": len(listing.samples),
            "left_out": listing.unlisted_count,
            "labels": dict(collections.Counter(sample.corpus_label for sample in listing.samples)),
            "writers": len({sample.writer for sample in listing.samples} - {None}),
        }
        for listing in listings
    ]


def summarize_labels(index: ImageIndex) -> dict[str, Any]:
    """Return one entry for each label: images, writers, sizes in pixels, file formats, warnings."""
    numbers_of_label: dict[str, list[int]] = collections.defaultdict(list)
    for number, sample in enumerate(index.samples):
        numbers_of_label[sample.label].append(number)
    return {label: _summarize_label(index, numbers) for label, numbers in sorted(numbers_of_label.items())}


def _summarize_label(index: ImageIndex, numbers: list[int]) -> dict[str, Any]:
    properties = index.properties
    usable = [number for number in numbers if not properties.rejection_reasons[number]]
    writers = collections.Counter(index.samples[n].split_unit for n in numbers if index.samples[n].writer is not None)
    codes = [code for number in usable for code in properties.warnings[number].split()]
    heights, widths = properties.sizes[usable].T if usable else ([], [])
    return {
        "images": len(numbers),
        "refused": len(numbers) - len(usable),
        "writers": len(writers),
        "without_writer": sum(index.samples[number].writer is None for number in numbers),
        "images_per_writer": _summarize_range(list(writers.values())),
        "height": _summarize_range(heights),
        "width": _summarize_range(widths),
        "file_formats": dict(collections.Counter(properties.file_formats[number] for number in usable).most_common()),
        "warnings": dict(collections.Counter(codes).most_common()),
    }


def _summarize_range(values: Sequence[int] | np.ndarray) -> dict[str, int] | None:
    """Minimum, median and maximum; ``None`` without values."""
    if len(values) == 0:
        return None
    return {"min": int(np.min(values)), "median": int(np.median(values)), "max": int(np.max(values))}


def derive_findings(content: dict[str, Any]) -> list[Finding]:
    """Return findings about class imbalance and refused images."""
    findings = []
    counts = {label: entry["images"] for label, entry in content["labels"].items()}
    largest, smallest = max(counts, key=lambda label: counts[label]), min(counts, key=lambda label: counts[label])
    if counts[largest] > MAX_IMBALANCE * counts[smallest]:
        message = (
            f"there are {counts[largest]} images of {largest!r} and {counts[smallest]} of {smallest!r}: accuracy is "
            "misleading here; read precision and recall of each label."
        )
        findings.append(Finding(Severity.WARNING, "class_imbalance", message))
    if content["refused"]:
        example = content["refused"][0]
        message = (
            f"{len(content['refused'])} images cannot be used, for example {example['image']}: {example['reason']}"
        )
        findings.append(Finding(Severity.INFO, "refused", message))
    return findings


def derive_writer_findings(content: dict[str, Any]) -> list[Finding]:
    """Return findings about few or unknown writers, for numbers that are about unseen writers."""
    findings = []
    for label, entry in content["labels"].items():
        if entry["writers"] and not entry["without_writer"] and entry["writers"] < FEW_WRITERS:
            message = (
                f"{label!r} comes from {entry['writers']} writers: numbers measured on so few do not carry over to "
                "other writers."
            )
            findings.append(Finding(Severity.WARNING, "few_writers", message))
        if entry["without_writer"]:
            message = (
                f"{entry['without_writer']} of {entry['images']} images of {label!r} have no known writer: each is "
                "split by itself, so one writer may be in two splits."
            )
            findings.append(Finding(Severity.WARNING, "writers_unknown", message))
    return findings
