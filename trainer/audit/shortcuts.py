"""Run the leak probe on an image index: on each corpus with two labels and on all together, raw and canonical.

Each corpus is probed by itself as well, because pooling hides leaks. Next: ``leak_probe.py`` is the probe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.audit import leak_probe
from trainer.audit.finding import Finding, Severity
from trainer.data import image_features

if TYPE_CHECKING:
    from trainer.data.image_index import ImageIndex
    from trainer.imaging import Imaging


EVERYTHING = "everything"  # name of the set of all corpora
AUTHENTICITY = {"genuine", "forged"}


def probe_corpora(index: ImageIndex) -> list[dict[str, Any]]:
    """Return one entry for each probed set of images: ``corpus_id``, ``labels``, ``images``, ``raw``, ``canonical``.

    ``raw`` and ``canonical`` are probe results by the features of the file and of the canonical image. Labels are
    those of the problem; genuine and forged images are compared whatever these are.
    """
    usable = np.array([not reason for reason in index.properties.rejection_reasons])
    corpora = np.array([sample.corpus_id for sample in index.samples])
    raw_labels = np.array([sample.corpus_label for sample in index.samples])
    problem_labels = np.array([sample.label for sample in index.samples])
    subsets = [(corpus, usable & (corpora == corpus)) for corpus in dict.fromkeys(corpora.tolist())]
    if len(subsets) > 1:
        subsets.append((EVERYTHING, usable))
    entries = []
    for corpus_id, mask in subsets:
        is_signature = mask & np.isin(raw_labels, sorted(AUTHENTICITY))  # other labels differ more and would hide this
        if set(raw_labels[is_signature].tolist()) == AUTHENTICITY:
            entries.append(_probe(index, corpus_id, is_signature, raw_labels))
        labels = set(problem_labels[mask].tolist())
        if len(labels) > 1 and labels != AUTHENTICITY:
            entries.append(_probe(index, corpus_id, mask, problem_labels))
    return entries


def _probe(index: ImageIndex, corpus_id: str, mask: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Probe the images in ``mask``, ``bool [n]``, for their ``labels``, ``str [n]``."""
    numbers, properties = np.flatnonzero(mask), index.properties
    writers = np.array(["\0".join(index.samples[number].split_unit) for number in numbers])
    formats = [properties.file_formats[number] for number in numbers]
    raw, names = _add_formats(properties.raw_features[numbers], list(image_features.RAW_FEATURE_NAMES), formats)
    raw_result = leak_probe.probe_labels(raw, names, labels[numbers], writers)
    canonical_result = leak_probe.probe_labels(
        properties.canonical_features[numbers], list(image_features.FEATURE_NAMES), labels[numbers], writers
    )
    return {
        "corpus_id": corpus_id,
        "labels": sorted(set(labels[numbers].tolist())),
        "images": len(numbers),
        "raw": raw_result.to_dict() if raw_result else None,
        "canonical": canonical_result.to_dict() if canonical_result else None,
    }


def _add_formats(features: np.ndarray, names: list[str], formats: list[str]) -> tuple[np.ndarray, list[str]]:
    """Add format and mode of the file, one-hot encoded, to ``features``, ``float32 [n, f]``, and their names."""
    known = sorted(set(formats))
    columns = np.array([[name == column for column in known] for name in formats], np.float32)
    return np.hstack([features, columns]), names + [f"file format {name}" for name in known]


def derive_findings(content: dict[str, Any], imaging: Imaging) -> list[Finding]:
    """Return what the probe results mean, with a remedy for each."""
    return [finding for entry in content["leak"] if (finding := _derive_finding(entry, imaging))]


def _derive_finding(entry: dict[str, Any], imaging: Imaging) -> Finding | None:
    subset = f"{entry['corpus_id']}, {' or '.join(entry['labels'])}"
    raw, canonical = entry["raw"], entry["canonical"]
    if raw is None:
        message = f"{subset}: too few writers to look for shortcuts ({leak_probe.MIN_WRITERS} of each label)."
        return Finding(Severity.INFO, "leak_not_measured", message)
    if canonical["verdict"] == "leak":
        is_authenticity = set(entry["labels"]) <= AUTHENTICITY
        if imaging.ink == "grey":
            remedy = "Ink is grey here, and grey levels identify the scanner: use --ink soft-binary."
        elif is_authenticity:
            remedy = (
                "Numbers measured on this data say little about handwriting: capture all labels alike, or add other "
                "corpora."
            )
        else:
            remedy = "A model may use these features: add corpora in which the labels do not differ by them."
        message = (
            f"{subset}: after imaging, trivial features still separate the labels of unseen writers "
            f"({_format_result(canonical)}). {remedy}"
        )
        return Finding(Severity.ERROR if is_authenticity else Severity.WARNING, "leak_after_imaging", message)
    if raw["verdict"] == "leak" and canonical["verdict"] == "no leak":
        message = (
            f"{subset}: the raw files give the label away ({_format_result(raw)}); imaging removes that "
            f"({_format_result(canonical)}). Do not train on the raw files or with --ink grey, and do not trust "
            "numbers that were measured so."
        )
        return Finding(Severity.INFO, "leak_removed", message)
    if "unclear" in (raw["verdict"], canonical["verdict"]):
        message = (
            f"{subset}: too few writers to exclude shortcuts (raw {_format_result(raw)}; after imaging "
            f"{_format_result(canonical)})."
        )
        return Finding(Severity.WARNING, "leak_unclear", message)
    return None


def _format_result(result: dict[str, Any]) -> str:
    interval = f"AUC {result['auc']:.2f}, 95 % {result['low']:.2f} to {result['high']:.2f}"
    return f"{interval}; {result['dominant_feature']}" if result["auc"] >= leak_probe.MIN_LEAK_AUC else interval
