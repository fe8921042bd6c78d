"""Problems, one file each: a question with its head, losses, decision and report.

A new problem is one more file that defines ``PROBLEM``; no code outside this folder names a problem. Uses Keras and
decisions, no files and no servers. Next: ``trainer/training/network.py`` puts a problem's head on a backbone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras
    from keras import KerasTensor

    from trainer.artifact.decision import Decision
    from trainer.backbones import Backbone
    from trainer.corpora import Sample
    from trainer.evaluation.classification import ReportBuilder
    from trainer.losses import Targets as BatchTargets
    from trainer.losses import Tensor
    from trainer.samples.amount import DatasetSpec


PLUGIN_ATTRIBUTE = "PROBLEM"
Weights = Mapping[str, np.ndarray]  # by their path in the network
Targets = Mapping[str, np.ndarray]  # int [N] each: label, writer, corpus_index
EncodeSplit = Callable[[str], tuple[np.ndarray, Targets]]  # name of a split -> vectors float32 [N, D] and targets


@dataclasses.dataclass(frozen=True)
class Problem:
    """A question as values and functions.

    - ``head(features, num_labels, embedding_dim)`` maps features ``float32 [N, F]`` to vectors ``float32 [N, D]``, the
      output of the exported model.
    - ``transfer_head(trained, trained_labels, initial, labels)`` makes the weights of a head, by path, from those of a
      head that was trained with other labels and from its initial ones; without it, such a head stays random.
    - ``losses`` are the names of the losses that it can minimise, the default first; see ``trainer/losses``.
    - ``accuracy(targets, vectors) -> float32 [N]`` is shown beside the loss.
    - ``validation_metrics(vectors, targets)`` computes the metrics of an epoch from the whole validation split (NumPy);
      training keeps the epoch with the lowest ``monitor`` of them.
    - ``fit_decision(labels, vectors, targets)`` fits the manifest's decision to the exported model's vectors of the
      validation split, and ``error_rates(decision, vectors, targets)`` are its error rates there in percent, by which
      the variants are compared.
    - ``report_builder`` measures, tabulates and plots the exported model's vectors of the test split.
    - ``build_export_model(model, encode_split, backbone)`` makes the model that is exported from the trained one;
      ``encode_split`` returns its vectors of a split, and their targets. Without it the trained model is exported.
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
    validation_metrics: Callable[[np.ndarray, Targets], dict[str, float]]
    monitor: str
    fit_decision: Callable[[tuple[str, ...], np.ndarray, Targets], Decision]
    error_rates: Callable[[Any, np.ndarray, Targets], dict[str, float]]
    report_builder: ReportBuilder
    defaults: Mapping[str, Any]  # of the settings that have no default of their own
    labels: tuple[str, ...] | None = None  # the only ones it can be trained on, in this order; None for any
    transfer_head: Callable[[Weights, Sequence[str], Weights, Sequence[str]], Weights] | None = None
    build_export_model: Callable[[keras.Model, EncodeSplit, Backbone], keras.Model] | None = None
    check_test_samples: Callable[[list[Sample]], None] = lambda samples: None
    min_labels: int = 2
    label_map: Mapping[str, str] = dataclasses.field(default_factory=dict)  # corpus label -> this problem's label

    def map_label(self, corpus_label: str) -> str:
        """Return this problem's label for a label of a corpus."""
        return self.label_map.get(corpus_label, corpus_label)
