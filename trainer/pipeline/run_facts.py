"""What a run says about its data: for the manifest, the report and the model card.

Next: ``train.py``, which publishes it; ``trainer/evaluation/card_facts.py`` makes the card's facts of it.
"""

from __future__ import annotations

import dataclasses
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from trainer.artifact.card import TrainingSource
from trainer.console.progress import transfer_progress
from trainer.evaluation import card_facts
from trainer.evaluation.card_facts import TrainedOn
from trainer.ready import fetch_artifact

if TYPE_CHECKING:
    from trainer.pipeline.preparation import PreparedData
    from trainer.problems import Problem
    from trainer.settings.config import Config
    from trainer.training.loop import FitResult


def collect_facts(config: Config, prepared: PreparedData, fitted: FitResult) -> dict[str, Any]:
    """Collect what the metrics are based on, for manifest and report."""
    test_origin = "test folders in" if any(sample.split for sample in prepared.test_samples) else "set aside from"
    copies = prepared.copies
    predict_count = sum(source.get("predict", 0) for source in prepared.records.data_sources)
    return {
        "train_dir": list(config.data.train_dir) or ["generated"],
        "test_dir": list(config.data.test_dir) or [f"{test_origin} train_dir"],
        **({"predict_images_left_out": predict_count} if predict_count else {}),
        "train_images": prepared.records.counts["train"],
        "validation_images": prepared.records.counts["validation"],
        "test_images": len(prepared.test_samples),
        **({"copies_dir": list(config.data.copies_dir), "copies": copies.count_images("train")} if copies else {}),
        "audit": _list_finding_codes(prepared.audit),
        "seed": config.training.seed,
        "epochs": len(fitted.history),
        "best_epoch": fitted.best_epoch,
    }


def describe_training(config: Config, problem: Problem, prepared: PreparedData) -> TrainedOn:
    """Describe for the model card what the weights were learnt from."""
    terms = config.data.data_terms or card_facts.UNSTATED_TERMS
    sources = [
        TrainingSource(_get_corpus_id(source), source["images"], terms, source.get("writers") or None)
        for source in prepared.records.data_sources
        if not source.get("is_test")
    ]
    if not config.data.train_dir:
        sources = [dataclasses.replace(source, terms=card_facts.GENERATED_TERMS) for source in sources]
    if prepared.copies:
        names = ", ".join(PurePath(path).name for path in config.data.copies_dir) or "copies of the signatures above"
        sources.append(TrainingSource(f"{names}, only as copies", prepared.copies.count_images("train"), terms))
    if config.training.stream:
        sources.append(
            TrainingSource("images generated during the training", config.training.stream, card_facts.GENERATED_TERMS)
        )
    started_from: list[TrainingSource] = []
    if config.training.init_from:
        path = fetch_artifact(config.training.init_from, progress=transfer_progress)
        started_from = card_facts.read_sources(path, config.training.init_from)
    counts = {split: prepared.records.count_images(split) for split in ("train", "validation")}
    corpus_ids = frozenset(_get_corpus_id(row) for row in prepared.records.data_sources if not row.get("is_test"))
    return TrainedOn(sources, started_from, counts, corpus_ids, problem.is_writer_independent)


def _get_corpus_id(source: dict[str, Any]) -> str:
    """Return the corpus of a data source; records that an earlier release prepared have its path alone."""
    return str(source.get("corpus_id") or PurePath(source["path"]).stem)


def _list_finding_codes(audit: dict[str, Any]) -> dict[str, list[str]]:
    """List the codes of the audit's findings by severity.

    Without their messages, which may name files and writers: the manifest is public, the report is not.
    """
    codes: dict[str, set[str]] = {}
    for finding in audit["findings"]:
        codes.setdefault(finding["severity"], set()).add(finding["code"])
    return {severity: sorted(severity_codes) for severity, severity_codes in codes.items()}
