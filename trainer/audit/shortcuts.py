"""The leak probe on a survey: each source with two labels, and everything together, before and after imaging.

Pooling hides leaks, so sources are probed by themselves too. Next: ``leak_probe.py`` is the probe itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.audit import leak_probe
from trainer.audit.finding import DOUBTFUL, NOTE, UNTRUE, Finding
from trainer.data import image_features

if TYPE_CHECKING:
    from trainer.data.image_index import Survey
    from trainer.imaging import Imaging


EVERYTHING = "everything"
AUTHENTICITY = {"genuine", "forged"}


def describe(look: Survey, meant: Survey) -> list[dict[str, Any]]:
    """One entry for each set of images that was probed: ``of``, ``labels``, and the probes ``before`` and ``after``.

    ``meant`` is the same survey with the labels that are learnt; genuine and forged are told apart whatever is learnt.
    """
    used = np.array([not reason for reason in look.facts.refused])
    origins = np.array([sample.origin for sample in look.samples])
    raw, learnt = (np.array([sample.label for sample in survey.samples]) for survey in (look, meant))
    sets = [(origin, used & (origins == origin)) for origin in dict.fromkeys(origins.tolist())]
    if len(sets) > 1:
        sets.append((EVERYTHING, used))
    told = []
    for name, chosen in sets:
        authentic = chosen & np.isin(raw, sorted(AUTHENTICITY))  # other labels differ more, which would hide this
        if set(raw[authentic].tolist()) == AUTHENTICITY:
            told.append(_probed(look, name, authentic, raw))
        held = set(learnt[chosen].tolist())
        if len(held) > 1 and held != AUTHENTICITY:
            told.append(_probed(look, name, chosen, learnt))
    return told


def _probed(look: Survey, name: str, chosen: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    numbers = np.flatnonzero(chosen)
    groups = np.array(["\0".join(look.samples[number].group) for number in numbers])
    kinds = [look.facts.kind[number] for number in numbers]
    raw, names = _with_kinds(look.facts.raw[numbers], list(image_features.RAW_NAMES), kinds)
    before = leak_probe.probe(raw, names, labels[numbers], groups)
    after = leak_probe.probe(look.facts.canonical[numbers], list(image_features.NAMES), labels[numbers], groups)
    return {
        "of": name,
        "labels": sorted(set(labels[numbers].tolist())),
        "images": len(numbers),
        "before": before.describe() if before else None,
        "after": after.describe() if after else None,
    }


def _with_kinds(raw: np.ndarray, names: list[str], kinds: list[str]) -> tuple[np.ndarray, list[str]]:
    """Format and mode of the file as columns of 0 and 1."""
    found = sorted(set(kinds))
    columns = np.array([[kind == one for one in found] for kind in kinds], np.float32)
    return np.hstack([raw, columns]), names + [f"file kind {one}" for one in found]


def findings(content: dict[str, Any], imaging: Imaging) -> list[Finding]:
    """What the probes mean, and what to do."""
    return [finding for entry in content["leak"] if (finding := _finding(entry, imaging))]


def _finding(entry: dict[str, Any], imaging: Imaging) -> Finding | None:
    where = f"{entry['of']}, {' or '.join(entry['labels'])}"
    if entry["before"] is None:
        return Finding(
            NOTE, "leak_not_measured", f"{where}: too few writers to look for shortcuts ({leak_probe.MIN_GROUPS})."
        )
    before, after = entry["before"], entry["after"]
    if after["verdict"] == "leak":
        hard = set(entry["labels"]) <= AUTHENTICITY
        advice = (
            "Ink is grey here, and greys name the scanner: use --ink soft-binary."
            if imaging.ink == "grey"
            else "Numbers on this data tell little about writing: capture all labels alike, or add other sources."
            if hard
            else "A model may use just that: add sources in which the labels do not differ by it."
        )
        return Finding(
            UNTRUE if hard else DOUBTFUL, "leak_after_imaging",
            f"{where}: after imaging, trivial features still tell the labels of unseen writers apart "
            f"({_told(after)}). {advice}",
        )  # fmt: skip
    if before["verdict"] == "leak" and after["verdict"] == "no leak":
        return Finding(
            NOTE, "leak_removed",
            f"{where}: the raw files give the label away ({_told(before)}); imaging takes that out ({_told(after)}). "
            "Do not train on the raw files or with --ink grey, and do not believe numbers of those who do.",
        )  # fmt: skip
    if "unclear" in (before["verdict"], after["verdict"]):
        return Finding(
            DOUBTFUL, "leak_unclear",
            f"{where}: too few writers to be sure about shortcuts (raw {_told(before)}; after imaging {_told(after)}).",
        )  # fmt: skip
    return None


def _told(probed: dict[str, Any]) -> str:
    interval = f"AUC {probed['auc']:.2f}, 95 % {probed['low']:.2f} to {probed['high']:.2f}"
    return f"{interval}; {probed['culprit']}" if probed["auc"] >= leak_probe.LEAK else interval
