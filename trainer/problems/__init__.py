"""Problems, one file each: a question with its head, losses, decision and report.

A new problem is one more file that defines ``PROBLEM``; no code outside this folder names a problem. Uses Keras and
decisions, no files and no servers. Next: ``trainer/training/network.py`` puts a problem's head on a backbone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras
    from keras import KerasTensor

    from trainer.artifact.decision import Decision
    from trainer.artifact.similarity import BaseSimilarity, Similarity
    from trainer.corpora import Sample
    from trainer.evaluation.classification import ReportBuilder
    from trainer.imaging import Imaging
    from trainer.losses import Targets as BatchTargets
    from trainer.losses import Tensor
    from trainer.samples.amount import DatasetSpec


PLUGIN_ATTRIBUTE = "PROBLEM"
EMBEDDING_LAYER = "unit"  # whose output is the embedding, in networks that have one
Weights = Mapping[str, np.ndarray]  # by their path in the network
Targets = Mapping[str, np.ndarray]  # int [N] each: label, writer, corpus_index
EncodedBatches = Iterator[tuple[np.ndarray, Targets]]  # vectors float32 [N, D] and targets, batch by batch
Encode = Callable[[np.ndarray], np.ndarray]  # canonical images uint8 [N, H, W, 1] to vectors float32 [N, D]
EncodeBatches = Callable[[str], EncodedBatches]  # of the split of a name


@dataclasses.dataclass(frozen=True)
class Problem:
    """A question as values and functions.

    - ``head(features, num_labels, embedding_dim)`` maps features, ``float32 [N, F]`` or a grid ``float32 [N, h, w, F]``
      of them, to vectors ``float32 [N, D]``, the output of the exported model.
    - ``similarity(model)`` is how the vectors of a model are compared; without it, they are not.
    - ``normalise(similarity, encode, imaging)`` makes that of the exported model relative to strangers; ``encode`` maps
      canonical images ``uint8 [N, H, W, 1]`` to vectors.
    - ``transfer_head(trained, trained_labels, initial, labels)`` makes the weights of a head, by path, from those of a
      head that was trained with other labels and from its initial ones; without it, such a head stays random.
    - ``losses`` are the names of the losses that it can minimise, the default first; see ``trainer/losses``.
    - ``accuracy(targets, outputs) -> float32 [N]`` is shown beside the loss; ``outputs`` are those that a loss takes.
    - ``validation_metrics(vectors, targets, similarity)`` computes the metrics of an epoch from the whole validation
      split (NumPy); training keeps the last epoch whose ``monitor`` is at most ``monitor_tolerance`` above the lowest,
      as a share of it.
    - ``fit_decision(labels, vectors, targets, similarity)`` fits the manifest's decision to the exported model's
      vectors of the validation split, and ``error_rates(decision, vectors, targets)`` are its error rates there in
      percent, by which the variants are compared.
    - ``report_builder`` measures, tabulates and plots the exported model's vectors of the test split.
    - ``build_export_model(model, encode_batches)`` makes the model that is exported from the trained one;
      ``encode_batches`` yields its vectors of a split, and their targets, batch by batch, so that a large split need
      not be held in memory. Without it the trained model is exported.
    - ``relabel(samples)`` returns samples of corpora with the labels of this problem, without those that it cannot use;
      it raises ``UserError``. It is called for the data to train on and for that of --test-dir separately.
    - ``backbones`` are the only ones that it can use; empty for any.
    - ``framing`` is that of its canonical images, see ``imaging.Imaging``; ``region_labels`` are those of the boxes on
      pages that it learns to find, in the targets as ``regions``.
    - ``check_test_samples(samples)`` raises ``UserError`` when the test split could not be measured.
    """

    question: str
    canvas: tuple[int, int]  # height and width of the canonical image, pixels
    backbone: str  # the default
    generated_dataset: DatasetSpec  # size and layout of the generated dataset
    is_writer_independent: bool  # whether test writers must not be in training; False for closed sets
    head: Callable[[KerasTensor, int, int], KerasTensor]
    losses: tuple[str, ...]
    accuracy: Callable[[BatchTargets, Tensor], Tensor]
    validation_metrics: Callable[[np.ndarray, Targets, Any], dict[str, float]]
    monitor: str
    fit_decision: Callable[[tuple[str, ...], np.ndarray, Targets, Any], Decision]
    error_rates: Callable[[Any, np.ndarray, Targets], dict[str, float]]
    report_builder: ReportBuilder
    defaults: Mapping[str, Any]  # of the settings that have no default of their own
    labels: tuple[str, ...] | None = None  # the only ones it can be trained on, in this order; None for any
    transfer_head: Callable[[Weights, Sequence[str], Weights, Sequence[str]], Weights] | None = None
    similarity: Callable[[keras.Model], BaseSimilarity | None] = lambda model: None
    normalise: Callable[[BaseSimilarity, Encode, Imaging], Similarity] | None = None
    monitor_tolerance: float = 0.0
    build_export_model: Callable[[keras.Model, EncodeBatches], keras.Model] | None = None
    check_test_samples: Callable[[list[Sample]], None] = lambda samples: None
    backbones: tuple[str, ...] = ()
    framing: str = "ink"
    region_labels: tuple[str, ...] = ()
    min_labels: int = 2
    has_embedding: bool = False  # whether its networks have one, whose dimension --embedding-dim sets
    relabel: Callable[[list[Sample]], list[Sample]] = lambda samples: samples


def rename_labels(names: Mapping[str, str]) -> Callable[[list[Sample]], list[Sample]]:
    """Make a ``relabel`` that replaces labels of corpora by ``names``, and keeps those that it does not name."""

    def relabel(samples: list[Sample]) -> list[Sample]:
        return [sample.relabel(names.get(sample.label, sample.label)) for sample in samples]

    return relabel
