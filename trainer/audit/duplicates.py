"""Find duplicate images, and duplicates and writers that are in more than one split.

Exact duplicates are equal files; candidates for near duplicates come from ``data/blocking.py``, and
``data/near_duplicates.py`` confirms them. Works on samples and the splits that folders and flags declare, not pixels.
Next: ``audit.py`` collects the findings.
"""

from __future__ import annotations

import collections
import concurrent.futures
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.audit.finding import Finding, Severity
from trainer.console.progress import Progress
from trainer.corpora import CorpusListing, Sample
from trainer.data import blocking, near_duplicates
from trainer.data.components import components

if TYPE_CHECKING:
    from trainer.data.image_index import ImageIndex


EXACT = 1.0  # correlation of equal files
MAX_EXAMPLES = 5  # in a message
MAX_PAIRS = 1000  # in the JSON

Pair = tuple[int, int, float]  # i, j, correlation of images i and j
Search = Callable[["ImageIndex", np.ndarray], list[Pair]]  # near duplicates among the images with these numbers


def find_near_duplicates(index: ImageIndex, numbers: np.ndarray) -> list[Pair]:
    """Return the near duplicates among the images with these numbers, ``int64 [n]`` in ascending order."""
    candidates = blocking.find_candidates(index.read_descriptors(numbers))
    return confirm(index, [(int(numbers[i]), int(numbers[j])) for i, j in candidates])


def find_duplicates(index: ImageIndex, search: Search = find_near_duplicates) -> list[Pair]:
    """Return (i, j, correlation) of duplicates, i < j; the correlation of equal files is 1.0.

    The pairs connect every duplicate with its connected component, but are not all pairs of it: of equal files each is
    paired with the first. An image is compared with its nearest candidates only, which may all be its duplicates; so
    one image of each component is compared again with those of other components, until no component grows.
    """
    properties, pairs = index.properties, []
    first_of_digest: dict[int, int] = {}
    for number, digest in enumerate(properties.file_digests.tolist()):
        if properties.rejection_reasons[number]:
            continue
        first = first_of_digest.setdefault(digest, number)
        if first != number:
            pairs.append((first, number, EXACT))
    numbers = np.array(sorted(first_of_digest.values()), np.int64)
    near: dict[tuple[int, int], float] = {}
    while len(numbers) > 1:
        confirmed = {(i, j): correlation for i, j, correlation in search(index, numbers) if (i, j) not in near}
        near |= confirmed
        component = np.array(components(len(index.samples), near))
        sizes = np.bincount(component)
        if not confirmed or sizes.max() <= blocking.MAX_CANDIDATES:
            break
        numbers = np.flatnonzero(sizes > 1)
    return sorted([*pairs, *((i, j, correlation) for (i, j), correlation in near.items())])


def confirm(index: ImageIndex, candidates: list[tuple[int, int]]) -> list[Pair]:
    """Return the candidates that are duplicates when aligned; in threads, because OpenCV releases the GIL."""
    if not candidates:
        return []

    def correlate(pair: tuple[int, int]) -> float:
        return near_duplicates.align_and_correlate(*map(index.read_comparison_image, pair))

    with (
        Progress("comparing", len(candidates), unit="pairs") as progress,
        concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        results = zip(candidates, progress.track(pool.map(correlate, candidates)), strict=True)
        return [(i, j, value) for (i, j), value in results if value >= near_duplicates.MIN_CORRELATION]


def find_declared_splits(samples: list[Sample], listings: list[CorpusListing], test_count: int) -> list[str]:
    """Return the split that --test-dir or a folder's name declares for each sample, empty if there is none."""
    test_corpora = {listing.corpus_id for listing in listings[len(listings) - test_count :]} if test_count else set()
    default = "train" if test_corpora or any(sample.split for sample in samples) else ""
    return ["test" if sample.corpus_id in test_corpora else sample.split or default for sample in samples]


def summarize_duplicates(samples: list[Sample], pairs: list[Pair], splits: list[str]) -> dict[str, Any]:
    """Summarize duplicates as JSON: counts, images with a duplicate in another split, label, writer or corpus, pairs.

    At most ``MAX_PAIRS`` pairs are listed, those that differ in most fields first: every image may have a duplicate.
    """
    component = components(len(samples), [(i, j) for i, j, _ in pairs])
    members: dict[int, list[int]] = collections.defaultdict(list)
    for number in sorted({number for i, j, _ in pairs for number in (i, j)}):
        members[component[number]].append(number)
    across: dict[str, int] = {}
    examples: dict[str, list[str]] = {}
    for field, get_value in _FIELDS.items():
        values = {n: get_value(samples[n], splits[n]) for numbers in members.values() for n in numbers}
        mixed = [numbers for numbers in members.values() if len({values[number] for number in numbers}) > 1]
        across[field] = sum(map(len, mixed))
        if mixed:
            first = mixed[0][0]
            second = next(number for number in mixed[0] if values[number] != values[first])
            examples[field] = [_format_name(samples[first]), _format_name(samples[second])]
    exact = sum(correlation == EXACT for _, _, correlation in pairs)
    differences = [_list_differences(samples, splits, i, j) for i, j, _ in pairs]
    most_different = sorted(range(len(pairs)), key=lambda position: -len(differences[position]))[:MAX_PAIRS]
    return {
        "exact": exact,
        "near": len(pairs) - exact,
        "within_writer": sum("writer" not in fields for fields in differences),
        "across": across,
        "examples": examples,
        "pairs": [_describe_pair(samples, pairs[position], differences[position]) for position in most_different],
    }


_FIELDS: dict[str, Callable[[Sample, str], Any]] = {
    "split": lambda sample, split: split,
    "label": lambda sample, split: sample.label,
    "writer": lambda sample, split: sample.split_unit,
    "corpus": lambda sample, split: sample.corpus_id,
}


def _list_differences(samples: list[Sample], splits: list[str], i: int, j: int) -> tuple[str, ...]:
    """The fields in which two samples differ."""
    return tuple(name for name, get in _FIELDS.items() if get(samples[i], splits[i]) != get(samples[j], splits[j]))


def _describe_pair(samples: list[Sample], pair: Pair, differences: tuple[str, ...]) -> dict[str, Any]:
    i, j, correlation = pair
    return {
        "images": [_format_name(samples[i]), _format_name(samples[j])],
        "indices": [i, j],
        "correlation": round(correlation, 4),
        "differs_in": list(differences),
    }


def _format_name(sample: Sample) -> str:
    return f"{sample.corpus_id}/{sample.name}"


def find_writer_overlap(samples: list[Sample], splits: list[str]) -> dict[str, Any]:
    """Return writers and documents in two declared splits as JSON; across corpora only equal names are detected."""
    splits_of_writer: dict[tuple[str, str], set[str]] = collections.defaultdict(set)
    splits_of_name: dict[str, set[str]] = collections.defaultdict(set)
    for sample, split in zip(samples, splits, strict=True):
        if split and sample.writer is not None:
            splits_of_writer[sample.split_unit].add(split)
            splits_of_name[sample.writer].add(split)
    within = sorted(f"{corpus}: {writer}" for (corpus, writer), used in splits_of_writer.items() if len(used) > 1)
    names = {entry.split(": ", 1)[1] for entry in within}
    across = sorted(writer for writer, used in splits_of_name.items() if len(used) > 1 and writer not in names)
    return {"splits": sorted(set(splits) - {""}), "writers": within, "same_names": across}


def derive_findings(content: dict[str, Any]) -> list[Finding]:
    """Return the findings about duplicates."""
    duplicates, findings = content["duplicates"], []
    across = duplicates["across"]
    if across["split"]:
        message = (
            f"{across['split']} images have a duplicate in another of the declared splits, for example "
            f"{_format_example(duplicates, 'split')}. A model would be tested on images that it was trained on. Remove "
            "them, or let --drop-duplicates remove the training images."
        )
        findings.append(Finding(Severity.ERROR, "duplicates_across_parts", message))
    if across["label"]:
        message = (
            f"{across['label']} images have a duplicate with another label, for example "
            f"{_format_example(duplicates, 'label')}. One of the labels is wrong."
        )
        findings.append(Finding(Severity.ERROR, "duplicates_across_labels", message))
    if across["writer"]:
        message = (
            f"{across['writer']} images have a duplicate of another writer, for example "
            f"{_format_example(duplicates, 'writer')}. They may be one person; a split keeps them together."
        )
        findings.append(Finding(Severity.WARNING, "duplicates_across_writers", message))
    if count := duplicates["within_writer"]:
        message = f"{count} pairs of duplicates are of one writer. A split keeps them together."
        findings.append(Finding(Severity.INFO, "duplicates", message))
    return findings


def derive_overlap_findings(content: dict[str, Any]) -> list[Finding]:
    """Return findings about writers of several splits, for numbers that are about unseen writers."""
    overlap, findings = content["writer_overlap"], []
    if overlap["writers"]:
        message = (
            f"{len(overlap['writers'])} writers or documents are in more than one of the splits "
            f"{', '.join(overlap['splits'])}: {', '.join(overlap['writers'][:MAX_EXAMPLES])}. Numbers measured so are "
            "not about unseen writers. Move all images of a writer to one split."
        )
        findings.append(Finding(Severity.ERROR, "writers_across_parts", message))
    if overlap["same_names"]:
        message = (
            f"{len(overlap['same_names'])} writers of the test data have the names of writers of the training data: "
            f"{', '.join(overlap['same_names'][:MAX_EXAMPLES])}. If they are the same people, numbers are not about "
            "unseen writers."
        )
        findings.append(Finding(Severity.WARNING, "same_names_across_parts", message))
    return findings


def _format_example(duplicates: dict[str, Any], field: str) -> str:
    return " and ".join(duplicates["examples"][field])
