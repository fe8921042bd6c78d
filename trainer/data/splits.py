"""Train, validation and test: no writer is in two splits, unless the user's folders declare it.

The split unit is a writer or document if known, else one image. Units are drawn for each corpus and set of labels
separately, so that every split holds images of each. Deterministic: the same samples and seed give the same splits
wherever the files are. Next: ``records.py`` writes the splits.
"""

import collections
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from trainer.console.errors import UserError
from trainer.corpora import Sample
from trainer.data.components import components

SPLITS = ("train", "validation", "test")
SplitUnit = tuple[str, str]  # corpus, and the writer or the image


class TooFewSamples(UserError):
    """A split would be left without a label; the message names it and the number of its writers."""


def split_samples(
    samples: list[Sample],
    validation_fraction: float,
    test_fraction: float,
    seed: int,
    by_writer: bool = True,
    duplicate_pairs: Iterable[tuple[int, int]] = (),
) -> dict[str, list[Sample]]:
    """Divide samples into three disjoint splits. Raises ``TooFewSamples``.

    ``test_fraction`` is the share of all images, ``validation_fraction`` the share of the rest. ``by_writer=False``
    splits image by image, for closed sets in which every writer has to be in every split. ``duplicate_pairs`` are pairs
    of sample numbers whose images are equal or nearly so: their split units stay together. Samples with a declared
    ``split`` are in that split, and nothing is drawn for a split that has such samples.
    """
    declared = {split: [sample for sample in samples if sample.split == split] for split in ("validation", "test")}
    validation_fraction = 0.0 if declared["validation"] else validation_fraction
    test_fraction = 0.0 if declared["test"] else test_fraction
    fractions = {
        "test": test_fraction,
        "validation": (1 - test_fraction) * validation_fraction,
        "train": (1 - test_fraction) * (1 - validation_fraction),
    }
    drawn = _draw(samples, fractions, seed, by_writer, duplicate_pairs)
    splits = {split: [*drawn[split], *declared.get(split, ())] for split in SPLITS}
    _check(splits, required=[split for split in SPLITS if split != "test" or test_fraction > 0 or declared["test"]])
    return {split: sorted(members, key=lambda s: (s.corpus_id, s.name)) for split, members in splits.items()}


def _draw(
    samples: list[Sample],
    fractions: dict[str, float],
    seed: int,
    by_writer: bool,
    duplicate_pairs: Iterable[tuple[int, int]],
) -> dict[str, list[Sample]]:
    """Split all samples but those that are declared to be of validation or test."""
    corpora: dict[str, dict[SplitUnit, list[Sample]]] = collections.defaultdict(lambda: collections.defaultdict(list))
    units = [sample.split_unit if by_writer else (sample.corpus_id, sample.name) for sample in samples]
    for sample, unit in zip(samples, _merge(units, duplicate_pairs), strict=True):
        if sample.split not in ("validation", "test"):
            corpora[unit[0]][unit].append(sample)
    splits: dict[str, list[Sample]] = {split: [] for split in SPLITS}
    for stratum, stratum_units in _stratify(corpora):
        rng = np.random.default_rng([seed, zlib.crc32(os.fsencode(stratum))])
        order = rng.permutation(len(stratum_units))
        for split, members in _assign([stratum_units[i] for i in order], fractions).items():
            splits[split] += members
    return splits


def merge_writers(
    samples: list[Sample], duplicate_pairs: Iterable[tuple[int, int]], genuine: str
) -> dict[SplitUnit, SplitUnit]:
    """Merge writers who share a genuine signature: one person under several names.

    ``genuine`` is the label of genuine signatures. A forgery in the folders of two writers does not merge them,
    although a split keeps them together.
    """
    units = [sample.split_unit for sample in samples]
    shared = [(i, j) for i, j in duplicate_pairs if samples[i].label == samples[j].label == genuine]
    return dict(zip(units, _merge(units, shared), strict=True))


def _merge(units: list[SplitUnit], duplicate_pairs: Iterable[tuple[int, int]]) -> list[SplitUnit]:
    """Replace units that share an image by the first of their names."""
    names = sorted(set(units))
    number_of_name = {name: number for number, name in enumerate(names)}
    numbers = [number_of_name[unit] for unit in units]
    component = components(len(names), ((numbers[i], numbers[j]) for i, j in duplicate_pairs))
    return [names[component[number]] for number in numbers]


def _stratify(
    corpora: Mapping[str, Mapping[SplitUnit, list[Sample]]],
) -> list[tuple[str, list[list[Sample]]]]:
    """Group the units of each corpus by their labels, in a stable order: each group is spread over the splits."""
    strata = []
    for corpus_id in sorted(corpora):
        by_labels = collections.defaultdict(list)
        for _, members in sorted(corpora[corpus_id].items()):
            by_labels[tuple(sorted({sample.label for sample in members}))].append(members)
        strata += [(f"{corpus_id}:{','.join(labels)}", by_labels[labels]) for labels in sorted(by_labels)]
    return strata


def _assign(units: list[list[Sample]], fractions: dict[str, float]) -> dict[str, list[Sample]]:
    """Assign each unit to the split that is furthest below its fraction of images; the last ones to empty splits."""
    total = sum(map(len, units))
    splits: dict[str, list[Sample]] = {split: [] for split, fraction in fractions.items() if fraction > 0}
    for number, members in enumerate(units):
        empty = [split for split, assigned in splits.items() if not assigned]
        candidates = empty if len(units) - number <= len(empty) else splits
        missing = {split: fractions[split] - len(splits[split]) / total for split in candidates}
        splits[max(missing, key=lambda split: missing[split])] += members
    return splits


def _check(splits: dict[str, list[Sample]], required: list[str]) -> None:
    """Raises ``TooFewSamples`` when a required split lacks a label."""
    labels = sorted({sample.label for samples in splits.values() for sample in samples})
    for split in required:
        missing = [label for label in labels if not any(sample.label == label for sample in splits[split])]
        if missing and any(sample.split == split for sample in splits[split]):
            raise TooFewSamples(
                f"the folders of the {split} split hold no {' and no '.join(map(repr, missing))} image; add some, or "
                "remove the folders, so that the split is drawn"
            )
        if missing:
            units = {
                label: {s.split_unit for samples in splits.values() for s in samples if s.label == label}
                for label in missing
            }
            raise TooFewSamples(
                f"no {' and no '.join(map(repr, missing))} image is left for the {split} split, because all images of "
                f"a writer or document stay together: "
                + ", ".join(f"{label!r} has {len(names)} of them" for label, names in units.items())
                + "; add images of more writers"
            )


def choose_some(samples: Sequence[Sample], limit: int, seed: int) -> list[Sample]:
    """Choose at most ``limit`` samples at random, whole split units only; the same for the same samples and seed."""
    units: dict[SplitUnit, list[Sample]] = {}
    for sample in samples:
        units.setdefault(sample.split_unit, []).append(sample)
    chosen: list[Sample] = []
    names = sorted(units)
    for number in np.random.default_rng(seed).permutation(len(names)).tolist():
        if len(chosen) + len(units[names[number]]) <= limit:
            chosen += units[names[number]]
    return chosen
