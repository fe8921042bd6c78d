"""The model card of an artefact (Mitchell et al. 2019), worded here alone: from its manifest, and from measured facts.

Every artefact has it as ``card.md``, beside the facts in ``card.json``; the server shows it, and ``deploy`` puts it
into the registry. Standard library only. Next: ``manifest.py``; ``trainer/evaluation/card_facts.py`` collects facts.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.artifact.manifest import BadArtifact, Manifest, read_error_rates

FILE, FACTS_FILE = "card.md", "card.json"
MAX_LABELS = 12  # whose thresholds are listed one by one
SHOWN_COUNTS = ("1", "5", "10")  # numbers of references for which thresholds are listed
INTENDED_USE = (
    "Intended for documents that a person reviews as well: an answer is evidence, not proof of identity. Writers, "
    "scanners and pens unlike those of the test images have not been measured."
)


@dataclasses.dataclass(frozen=True)
class TrainingSource:
    """A data set or generator that the weights were learnt from; ``terms`` are those of its images.

    ``images`` is 0 if their number is unknown.
    """

    name: str
    images: int
    terms: str
    writers: int | None = None


@dataclasses.dataclass(frozen=True)
class Measurement:
    """A measured rate in percent, with its 95 % ``interval`` as ``[low, high]`` if it has one.

    ``source`` is what was measured, and ``relation`` what of it was in the training, as "other writers of a training
    source".
    """

    source: str
    relation: str
    metric: str
    value: float
    images: int
    interval: list[float] | None = None


@dataclasses.dataclass(frozen=True)
class CardFacts:
    """What a card says that no manifest knows; every field is JSON."""

    learnt_from: list[TrainingSource]
    protocol: str
    measurements: list[Measurement]
    limits: list[str]
    intended_use: str = INTENDED_USE


def read_facts(path: Path) -> CardFacts:
    """Read facts from a JSON file. Raises ``BadArtifact`` for an unknown or missing key."""
    try:
        values = json.loads(path.read_text())
        learnt_from = [TrainingSource(**row) for row in values.pop("learnt_from")]
        measurements = [Measurement(**row) for row in values.pop("measurements")]
        return CardFacts(learnt_from=learnt_from, measurements=measurements, **values)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadArtifact(f"{str(path)!r} has no facts for a model card: {type(error).__name__}: {error}") from None


def read_measurements(path: Path) -> list[Measurement]:
    """Read a JSON list of measurements. Raises ``BadArtifact`` for an unknown or missing key."""
    try:
        return [Measurement(**row) for row in json.loads(path.read_text())]
    except (OSError, ValueError, TypeError) as error:
        raise BadArtifact(f"{str(path)!r} has no measurements: {type(error).__name__}: {error}") from None


def write(folder: Path, manifest: Manifest, facts: CardFacts) -> None:
    """Write ``card.json`` and ``card.md`` into the folder of an artefact, before its manifest is written."""
    (folder / FACTS_FILE).write_text(json.dumps(dataclasses.asdict(facts), indent=1, ensure_ascii=False) + "\n")
    (folder / FILE).write_text(render(manifest, facts))


def describe(manifest: Manifest) -> list[str]:
    """Return the lines of a card that the manifest alone gives: question, error rates, decision, audit, training."""
    training, decision = manifest.training, manifest.decision
    rates = ", ".join(f"{name} {rate:.2f} %" for name, rate in read_error_rates(manifest).items())
    audit = training.get("audit")
    findings = "; ".join(f"{severity}: {', '.join(codes)}" for severity, codes in (audit or {}).items())
    return [
        f"# {manifest.problem} / {manifest.backbone}",
        f"Question: {manifest.question}",
        f"Error rates on {training.get('test_images', 'unknown')} unseen images: {rates or 'not measured'}.",
        f"Decision: {decision.get('kind')}; thresholds: {_format_thresholds(decision)}.",
        f"Audit of the data: {'not recorded' if audit is None else findings or 'no findings'}.",
        f"Trained: {manifest.created_at}, best epoch {training.get('best_epoch')} of {training.get('epochs')}, seed "
        f"{training.get('seed')}, {training.get('parameters')} parameters; answers with {manifest.variant}.",
    ]


def render(manifest: Manifest, facts: CardFacts) -> str:
    """Return the whole card in Markdown; its numbers are those of the facts."""
    title, *lines = describe(manifest)
    learnt = [
        f"| {s.name} | {_format_count(s.images)} | {_format_count(s.writers)} | {s.terms} |" for s in facts.learnt_from
    ]
    measured = [
        f"| {m.source} | {m.relation} | {m.metric} | {m.value:.1f} | {_format_interval(m.interval)} | {m.images:,} |"
        for m in facts.measurements
    ]
    sections = [
        title,
        "\n\n".join(lines),
        "## What it learnt from",
        "\n".join(["| source | images | writers | terms of the data |", "|---|---|---|---|", *learnt]),
        "## Measured",
        f"{facts.protocol} Rates are in percent, with 95 % intervals.",
        "\n".join(["| source | in training | rate | % | interval | images |", "|---|---|---|---|---|---|", *measured]),
        *(["## Limits", "\n".join(f"- {limit}" for limit in facts.limits)] if facts.limits else []),
        "## Intended use",
        facts.intended_use,
    ]
    return "\n\n".join(sections) + "\n"


def _format_count(count: int | None) -> str:
    return f"{count:,}" if count else "unknown"


def _format_interval(interval: list[float] | None) -> str:
    return f"{interval[0]:.1f} to {interval[1]:.1f}" if interval else ""


def _format_thresholds(decision: Mapping[str, Any]) -> str:
    thresholds = decision.get("thresholds")
    if decision.get("kind") == "locate":
        return ", ".join(f"{label} {value:.2f}" for label, value in (thresholds or {}).items())
    if isinstance(thresholds, Mapping):  # by false acceptance rate, then by number of references
        return "; ".join(
            f"{rate}: " + ", ".join(f"{n} ref. {by_count[n]:.2f}" for n in SHOWN_COUNTS if n in by_count)
            for rate, by_count in thresholds.items()
        )
    values = dict(zip(decision["labels"], thresholds or (), strict=False))
    limit = decision.get("rejection_limit")
    rejection = "" if limit is None else f"; unknown below {limit:g}"
    if len(values) > MAX_LABELS and len(set(values.values())) == 1:
        return f"equal for {len(values)} labels{rejection}"
    return ", ".join(f"{label} {value:g}" for label, value in values.items()) + rejection
