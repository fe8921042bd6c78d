"""Train, validation and test: writers never cross, but where folders of the user say otherwise.

The unit is the group (a writer or document where known, else one image), drawn for each origin and label by itself so
that every part holds every kind. Deterministic: the same samples and seed give the same parts wherever the files lie.
"""

import collections
import os
import zlib
from collections.abc import Iterable

import numpy as np

from trainer.console.errors import UserError
from trainer.corpora import Sample
from trainer.data.components import components

PARTS = ("train", "validation", "test")
Group = tuple[str, str]  # origin, and the writer or the image


class TooFewSamples(UserError):
    """A part would be left without a label; the message says which, and what would be enough."""


def split(
    samples: list[Sample],
    validation: float,
    test: float,
    seed: int,
    by_writer: bool = True,
    twins: Iterable[tuple[int, int]] = (),
) -> dict[str, list[Sample]]:
    """Three disjoint parts.

    ``test`` is the share of all images, ``validation`` the share of what remains after it (0.3 = the original's 70/30).
    ``by_writer=False`` splits images one by one, for closed sets in which every person has to be in every part.
    ``twins`` are pairs of sample numbers that are (nearly) one image: whatever they belong to stays together.
    Samples whose ``part`` is known are in that part, and none is drawn for a part that has such samples.
    """
    declared = {part: [sample for sample in samples if sample.part == part] for part in ("validation", "test")}
    validation = 0.0 if declared["validation"] else validation
    test = 0.0 if declared["test"] else test
    drawn = _drawn(samples, validation, test, seed, by_writer, twins)
    parts = {part: [*drawn[part], *declared.get(part, ())] for part in PARTS}
    _check(parts, needed=[part for part in PARTS if part != "test" or test > 0 or declared["test"]])
    return {part: sorted(chosen, key=lambda s: (s.origin, s.name)) for part, chosen in parts.items()}


def _drawn(
    samples: list[Sample], validation: float, test: float, seed: int, by_writer: bool, twins: Iterable[tuple[int, int]]
) -> dict[str, list[Sample]]:  # fmt: skip
    """The parts of all samples but those of the validation or the test part."""
    strata: dict[str, dict[tuple[str, str], list[Sample]]] = collections.defaultdict(
        lambda: collections.defaultdict(list)
    )
    own = [sample.group if by_writer else (sample.origin, sample.name) for sample in samples]
    for sample, group in zip(samples, _joined(own, twins), strict=True):
        if sample.part not in ("validation", "test"):
            strata[group[0]][group].append(sample)
    parts: dict[str, list[Sample]] = {part: [] for part in PARTS}
    for name, groups in _by_labels(strata):
        rng = np.random.default_rng([seed, zlib.crc32(os.fsencode(name))])
        order = rng.permutation(len(groups))
        shares = {"test": test, "validation": (1 - test) * validation, "train": (1 - test) * (1 - validation)}
        for part, chosen in _deal([groups[i] for i in order], shares).items():
            parts[part] += chosen
    return parts


def people(samples: list[Sample], twins: Iterable[tuple[int, int]], genuine: str) -> dict[Group, Group]:
    """Who is one person under several names: those of whom a genuine signature is in the data twice.

    A forgery that was filed twice says nothing of the kind: it joins the people in a split, but they stay two.
    """
    groups = [sample.group for sample in samples]
    own = [(i, j) for i, j in twins if samples[i].label == samples[j].label == genuine]
    return dict(zip(groups, _joined(groups, own), strict=True))


def _joined(groups: list[tuple[str, str]], twins: Iterable[tuple[int, int]]) -> list[tuple[str, str]]:
    """Groups that share a twin become one, called by the first of their names."""
    names = sorted(set(groups))
    number = {name: place for place, name in enumerate(names)}
    family = components(len(names), ((number[groups[one]], number[groups[other]]) for one, other in twins))
    return [names[family[number[group]]] for group in groups]


def _by_labels(strata) -> list[tuple[str, list[list[Sample]]]]:
    """Groups of one origin that hold the same labels, by name: what must be spread evenly, in a stable order."""
    kinds = []
    for origin in sorted(strata):
        by_labels = collections.defaultdict(list)
        for _, members in sorted(strata[origin].items()):
            by_labels[tuple(sorted({m.label for m in members}))].append(members)
        kinds += [(f"{origin}:{','.join(labels)}", by_labels[labels]) for labels in sorted(by_labels)]
    return kinds


def _deal(groups: list[list[Sample]], shares: dict[str, float]) -> dict[str, list[Sample]]:
    """Give each group to the part that is furthest behind its share of images; the last ones to parts still empty."""
    total = sum(map(len, groups))
    parts: dict[str, list[Sample]] = {part: [] for part, share in shares.items() if share > 0}
    for number, members in enumerate(groups):
        empty = [part for part, chosen in parts.items() if not chosen]
        candidates = empty if len(groups) - number <= len(empty) else parts
        behind = {part: shares[part] - len(parts[part]) / total for part in candidates}
        parts[max(behind, key=lambda part: behind[part])] += members
    return parts


def _check(parts, needed):
    labels = sorted({sample.label for chosen in parts.values() for sample in chosen})
    for part in needed:
        missing = [label for label in labels if not any(sample.label == label for sample in parts[part])]
        if missing and any(sample.part == part for sample in parts[part]):
            raise TooFewSamples(
                f"the folders of the {part} part hold no {' and no '.join(map(repr, missing))} image; add some, or "
                "take the folders away, so that the part is drawn"
            )
        if missing:
            held = {label: {s.group for part in parts.values() for s in part if s.label == label} for label in missing}
            raise TooFewSamples(
                f"no {' and no '.join(map(repr, missing))} image is left for the {part} part, because what one writer "
                f"or document holds stays together: "
                + ", ".join(f"{label!r} has {len(groups)} of them" for label, groups in held.items())
                + "; bring images of more people"
            )
