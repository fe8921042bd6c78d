"""What determines the records of a run, as a digest and as entries of the manifest: files, labels, writers, settings.

Next: ``preparation.py``, which prepares again when the digest has changed.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from trainer.corpora import Sample
from trainer.data import sampling
from trainer.data.files import compute_files_digest
from trainer.settings import plugins

if TYPE_CHECKING:
    from trainer.data.dataset import RunData
    from trainer.problems import Problem
    from trainer.settings.config import Config


def compute_digest(config: Config, problem: Problem, samples: list[Sample]) -> str:
    """Compute a digest of all that determines the records: every file, label, writer and split, and the settings."""
    settings = [
        config.data.validation_fraction,
        config.data.test_fraction,
        config.data.min_quality,
        config.data.drop_duplicates,
        config.training.seed,
        problem.is_writer_independent,
        len(config.data.test_dir),
        draws_by_writer(config),  # determines whether a writer's images share a shard
    ]
    digest = hashlib.sha256(json.dumps([compute_files_digest(samples), settings]).encode())
    for sample in samples:
        split = [sample.split] if sample.split else []
        digest.update(json.dumps([sample.label, sample.writer, *split, *sample.boxes]).encode())
    return digest.hexdigest()[:16]


def describe_sources(run_data: RunData) -> list[dict[str, Any]]:
    """Describe each data source for the manifest of the records, with a digest of its files."""
    return [
        {
            "path": source.argument,
            "layout": listing.layout,
            "images": len(listing.samples),
            "corpus_id": listing.corpus_id,
            "writers": len({sample.writer for sample in listing.samples if sample.writer is not None}),
            **({"is_test": True} if position >= len(run_data.listings) - run_data.test_count else {}),
            "digest": compute_files_digest(listing.samples),
            **({"splits": listing.split_counts} if listing.split_counts else {}),
            **({"predict": listing.predict_count} if listing.predict_count else {}),
        }
        for position, (source, listing) in enumerate(zip(run_data.sources, run_data.listings, strict=True))
    ]


def draws_by_writer(config: Config) -> bool:
    """Whether the loss needs batches that are drawn by writer."""
    return plugins.load("losses", config.training.loss).sampling in sampling.SAMPLERS
