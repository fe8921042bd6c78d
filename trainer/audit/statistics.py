"""What data looks like from afar: sources, labels, writers, sizes, kinds of files, warnings; and what is lopsided."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.audit.finding import DOUBTFUL, NOTE, Finding
from trainer.corpora import Reading

if TYPE_CHECKING:
    from trainer.data.image_index import Survey


LOPSIDED = 10  # times as many images of one label as of another
FEW_WRITERS = 10  # of a label; intervals over fewer say little


def sources(readings: list[Reading]) -> list[dict[str, Any]]:
    """One entry for each folder: as what it was read."""
    return [
        {
            "of": reading.origin,
            "layout": reading.layout,
            "images": len(reading.samples),
            "left_out": reading.left_out,
            "labels": dict(collections.Counter(sample.label for sample in reading.samples)),
            "writers": len({sample.writer for sample in reading.samples} - {None}),
        }
        for reading in readings
    ]


def labels(look: Survey) -> dict[str, Any]:
    """One entry for each label: images, writers, sizes in pixels, kinds of files, warnings."""
    held: dict[str, list[int]] = collections.defaultdict(list)
    for number, sample in enumerate(look.samples):
        held[sample.label].append(number)
    return {label: _label(look, numbers) for label, numbers in sorted(held.items())}


def _label(look: Survey, numbers: list[int]) -> dict[str, Any]:
    facts = look.facts
    used = [number for number in numbers if not facts.refused[number]]
    writers = collections.Counter(look.samples[n].group for n in numbers if look.samples[n].writer is not None)
    heights, widths = facts.size[used].T if used else ([], [])
    return {
        "images": len(numbers),
        "refused": len(numbers) - len(used),
        "writers": len(writers),
        "without_writer": sum(look.samples[number].writer is None for number in numbers),
        "per_writer": _spread(list(writers.values())),
        "height": _spread(heights),
        "width": _spread(widths),
        "kinds": dict(collections.Counter(facts.kind[number] for number in used).most_common()),
        "warnings": dict(collections.Counter(code for n in used for code in facts.warnings[n].split()).most_common()),
    }


def _spread(values) -> dict[str, int] | None:
    """Least, median, most."""
    if len(values) == 0:
        return None
    return {"least": int(np.min(values)), "median": int(np.median(values)), "most": int(np.max(values))}


def findings(content: dict[str, Any]) -> list[Finding]:
    """What is lopsided or was left out."""
    told = []
    counts = {label: entry["images"] for label, entry in content["labels"].items()}
    most, least = max(counts, key=lambda label: counts[label]), min(counts, key=lambda label: counts[label])
    if counts[most] > LOPSIDED * counts[least]:
        told.append(
            Finding(
                DOUBTFUL, "lopsided",
                f"there are {counts[most]} images of {most!r} and {counts[least]} of {least!r}: accuracy says little, "
                "look at each label's precision and recall.",
            )
        )  # fmt: skip
    for label, entry in content["labels"].items():
        if entry["writers"] and not entry["without_writer"] and entry["writers"] < FEW_WRITERS:
            told.append(
                Finding(
                    DOUBTFUL, "few_writers",
                    f"{label!r} comes from {entry['writers']} writers: numbers say little about other people.",
                )
            )  # fmt: skip
        if entry["without_writer"]:
            told.append(
                Finding(
                    DOUBTFUL, "writers_unknown",
                    f"{entry['without_writer']} of {entry['images']} images of {label!r} have no known writer: each is "
                    "split by itself, so one person may be on both sides.",
                )
            )  # fmt: skip
    if content["refused"]:
        first = content["refused"][0]
        told.append(
            Finding(
                NOTE, "refused",
                f"{len(content['refused'])} images cannot be used, for example {first['image']}: {first['reason']}",
            )
        )  # fmt: skip
    return told
