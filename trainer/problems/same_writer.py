"""Were these signatures written by the same writer, for writers who are not in training (an open set)?

An encoder maps an image to an embedding; a questioned signature is compared with one or more references of the claimed
writer. Nothing is trained for a writer: a new writer is a few references. It learns from genuine signatures and, where
the data has them, skilled forgeries. Next: ``_embedding.py``, ``trainer/losses`` and
``trainer/evaluation/calibration.py``.
"""

import keras

from trainer.evaluation import calibration, cohort, protocol, verification
from trainer.losses import _accuracy
from trainer.problems import EncodeBatches, Problem, _embedding
from trainer.samples.amount import DatasetSpec


def build_export_model(model: keras.Model, encode_batches: EncodeBatches) -> keras.Model:
    """Whiten the trained encoder."""
    _embedding.whiten(model, (vectors for vectors, _ in encode_batches("train")))
    return model


PROBLEM = Problem(
    question="were these written by the same hand (people never seen in training)?",
    canvas=(96, 192),
    backbone="strokes",
    generated_dataset=DatasetSpec("paired_folders", writers=60, genuine=12, forged=8),
    is_writer_independent=True,
    head=lambda features, _, embedding_dim: _embedding.embed(features, embedding_dim),
    has_embedding=True,
    similarity=_embedding.get_similarity,
    normalise=cohort.make_cohort,
    losses=("ranked_contrastive", "supervised_contrastive", "triplet", "contrastive"),
    accuracy=_accuracy.recall_at_1,
    validation_metrics=calibration.compute_validation_metrics,
    monitor="val_eer",
    monitor_tolerance=0.25,  # a few validation writers decide it; the weights of the last epochs are the settled ones
    fit_decision=calibration.fit_verifier,
    error_rates=calibration.compute_eers,
    build_export_model=build_export_model,
    check_test_samples=protocol.check_samples,
    report_builder=verification.VERIFICATION_REPORT,
    labels=("genuine", "forged"),
    min_labels=1,
    defaults={
        "epochs": 60,
        "patience": 50,  # on small sets the error rises for dozens of epochs before it falls: docs/training.md
        "batch_size": 128,
        "learning_rate": 0.003,
        "warmup": 0.05,
        "weight_decay": 0.001,
        "clip_norm": 5.0,
        "ema_decay": 0.995,
        "dropout": 0.0,
        "copies_share": 0.5,
    },
)
