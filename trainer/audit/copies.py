"""Which images are copies of one another, and which copies and writers are on both sides of a split.

Exact copies by their bytes, near copies by ``data/near_copies.py``. Knows samples and where people put them, not
pixels.
"""

from __future__ import annotations

import collections
import concurrent.futures
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from trainer.audit.finding import DOUBTFUL, NOTE, UNTRUE, Finding
from trainer.console.progress import Progress
from trainer.corpora import Reading, Sample
from trainer.data import near_copies
from trainer.data.components import components

if TYPE_CHECKING:
    from trainer.data.image_index import Survey


EXACT = 1.0
SHOWN = 5  # examples in a message
LISTED = 1000  # pairs in the JSON

Pair = tuple[int, int, float]


def find(look: Survey) -> list[Pair]:
    """(i, j, likeness) of copies, i < j, 1.0 for equal bytes; not every pair of a family, but all of it is connected.

    Of equal files each is paired with the first. An image is compared with its nearest look-alikes only, which may all
    be its copies; so one of each family is compared again, until no family grows.
    """
    facts, pairs = look.facts, []
    first: dict[int, int] = {}
    for number, digest in enumerate(facts.digest.tolist()):
        if not facts.refused[number] and (original := first.setdefault(digest, number)) != number:
            pairs.append((original, number, EXACT))
    numbers = sorted(first.values())
    compared: set[tuple[int, int]] = set()
    while True:
        candidates = near_copies.look_alikes(facts.descriptor[numbers]) if numbers else []
        alike = {(numbers[i], numbers[j]) for i, j in candidates} - compared
        compared |= alike
        found = _proven(look, sorted(alike))
        pairs += found
        family = components(len(look.samples), [(i, j) for i, j, _ in pairs])
        if not found or max(collections.Counter(family).values()) <= near_copies.NEIGHBOURS:
            return sorted(pairs)
        numbers = sorted({family[number] for number in numbers})


def _proven(look: Survey, alike: list[tuple[int, int]]) -> list[Pair]:
    """Of the look-alikes, the copies; in threads, because aligning is OpenCV's work."""
    if not alike:
        return []
    with (
        Progress("comparing", len(alike), unit="pairs") as progress,
        concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        scores = pool.map(lambda pair: near_copies.likeness(look.compared(pair[0]), look.compared(pair[1])), alike)
        found = zip(alike, progress.counted(scores), strict=True)
        return [(i, j, score) for (i, j), score in found if score >= near_copies.SAME]


def declared_parts(samples: list[Sample], readings: list[Reading], tests: int) -> list[str]:
    """The part that people put each sample into, empty where they did not: by --test-dir, or by folders so called."""
    tested = {reading.origin for reading in readings[len(readings) - tests :]} if tests else set()
    rest = "train" if tested or any(sample.part for sample in samples) else ""
    return ["test" if sample.origin in tested else sample.part or rest for sample in samples]


def describe(samples: list[Sample], found: list[Pair], parts: list[str]) -> dict[str, Any]:
    """Counts; images with a copy of another part, label, writer or source; and pairs with what they cross.

    At most ``LISTED`` pairs are spelt out, those that cross most first: a set may hold a copy of everything.
    """
    family = components(len(samples), [(i, j) for i, j, _ in found])
    members: dict[int, list[int]] = collections.defaultdict(list)
    for number in sorted({number for i, j, _ in found for number in (i, j)}):
        members[family[number]].append(number)
    across: dict[str, int] = {}
    examples: dict[str, list[str]] = {}
    for name, value in _CROSSED.items():
        values = {number: value(samples[number], parts[number]) for held in members.values() for number in held}
        torn = [held for held in members.values() if len({values[number] for number in held}) > 1]
        across[name] = sum(map(len, torn))
        if torn:
            other = next(number for number in torn[0] if values[number] != values[torn[0][0]])
            examples[name] = [_name(samples[torn[0][0]]), _name(samples[other])]
    exact = sum(score == EXACT for _, _, score in found)
    crossed = [_crosses(samples, parts, i, j) for i, j, _ in found]
    worst = sorted(range(len(found)), key=lambda place: -len(crossed[place]))[:LISTED]
    return {
        "exact": exact,
        "near": len(found) - exact,
        "of_one_writer": sum("writer" not in names for names in crossed),
        "across": across,
        "examples": examples,
        "pairs": [_pair(samples, *found[place], crossed[place]) for place in worst],
    }


_CROSSED: dict[str, Callable[[Sample, str], Any]] = {
    "part": lambda sample, part: part,
    "label": lambda sample, part: sample.label,
    "writer": lambda sample, part: sample.group,
    "source": lambda sample, part: sample.origin,
}


def _crosses(samples: list[Sample], parts: list[str], i: int, j: int) -> tuple[str, ...]:
    found = (name for name, value in _CROSSED.items() if value(samples[i], parts[i]) != value(samples[j], parts[j]))
    return tuple(found)


def _pair(samples: list[Sample], i: int, j: int, score: float, crosses: tuple[str, ...]) -> dict[str, Any]:
    return {
        "images": [_name(samples[i]), _name(samples[j])],
        "numbers": [i, j],
        "likeness": round(score, 4),
        "crosses": list(crosses),
    }


def _name(sample: Sample) -> str:
    return f"{sample.origin}/{sample.name}"


def crossing(samples: list[Sample], parts: list[str]) -> dict[str, Any]:
    """Writers and documents that people put into two parts; named alike is all that can be told across folders."""
    seen: dict[tuple[str, str], set[str]] = collections.defaultdict(set)
    alike: dict[str, set[str]] = collections.defaultdict(set)
    for sample, part in zip(samples, parts, strict=True):
        if part and sample.writer is not None:
            seen[sample.group].add(part)
            alike[sample.writer].add(part)
    within = sorted(f"{origin}: {writer}" for (origin, writer), held in seen.items() if len(held) > 1)
    names = {entry.split(": ", 1)[1] for entry in within}
    across = sorted(writer for writer, held in alike.items() if len(held) > 1 and writer not in names)
    return {"parts": sorted(set(parts) - {""}), "writers": within, "same_names": across}


def findings(content: dict[str, Any]) -> list[Finding]:
    """What duplicates and crossings mean."""
    found, told = content["duplicates"], []
    across = found["across"]
    if across["part"]:
        told.append(
            Finding(
                UNTRUE, "duplicates_across_parts",
                f"{across['part']} images have a copy on the other side of the given parts, for example "
                f"{_example(found, 'part')}. A model is tested on what it learnt. Take them out, or let "
                "--drop-duplicates take out the training side.",
            )
        )  # fmt: skip
    if across["label"]:
        told.append(
            Finding(
                UNTRUE, "duplicates_across_labels",
                f"{across['label']} images have a copy with another label, for example "
                f"{_example(found, 'label')}. One of the labels is wrong.",
            )
        )  # fmt: skip
    if across["writer"]:
        told.append(
            Finding(
                DOUBTFUL, "duplicates_across_writers",
                f"{across['writer']} images have a copy of another writer, for example "
                f"{_example(found, 'writer')}. They may be one person; a split keeps them together.",
            )
        )  # fmt: skip
    if rest := found["of_one_writer"]:
        told.append(
            Finding(NOTE, "duplicates", f"{rest} pairs of copies are of one writer. A split keeps them together.")
        )
    return [*told, *_crossing_findings(content["crossing"])]


def _crossing_findings(held: dict[str, Any]) -> list[Finding]:
    told = []
    if held["writers"]:
        names = ", ".join(held["writers"][:SHOWN])
        told.append(
            Finding(
                UNTRUE, "writers_across_parts",
                f"{len(held['writers'])} writers or documents are in more than one of the parts "
                f"{', '.join(held['parts'])}: {names}. Numbers are then not about people never seen. Move all of a "
                "writer to one side.",
            )
        )  # fmt: skip
    if held["same_names"]:
        names = ", ".join(held["same_names"][:SHOWN])
        told.append(
            Finding(
                DOUBTFUL, "same_names_across_parts",
                f"{len(held['same_names'])} writers of the test data are called as ones of the training data: {names}. "
                "If they are the same people, numbers are not about people never seen.",
            )
        )  # fmt: skip
    return told


def _example(found: dict[str, Any], crossed: str) -> str:
    return " and ".join(found["examples"][crossed])
