"""What can be learnt, one file each: the question, the head, the loss, the decision and how it is measured.

A new problem is one more file that defines ``PROBLEM``; nothing outside this folder asks for a problem by name. Knows
Keras and decisions, not files or servers. Next: ``trainer/training/network.py`` puts a problem's head on a backbone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from trainer.backbones import Backbone
    from trainer.corpora import Sample
    from trainer.evaluation.classification import Judge
    from trainer.samples.amount import Amount


CONSTANT = "PROBLEM"
Targets = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Problem:
    """A question as values and functions.

    ``head`` maps features ``float32 [N, F]``, the number of labels and the size of an embedding to vectors ``float32
    [N, D]``, the exported model's output. ``losses`` names those it can minimise, the default first; see
    ``trainer/losses``. ``accuracy`` maps (targets, vectors) to ``float32 [N]``, the number that is shown beside the
    loss. ``watch`` maps the vectors and targets of the whole validation part (NumPy) to numbers of an epoch's row, of
    which ``watched`` is to be low. ``decide`` makes the manifest's decision from the labels and the exported model's
    vectors and targets of the validation part, and ``errors`` its error rates there in percent: a variant of fewer bits
    may not add to them. ``judge`` measures, tells and draws what came of it. ``finish`` makes the model that is
    exported of the trained one, its vectors of the training part and the backbone; without it the two are the same.
    ``check`` raises ``UserError`` for a test part that could not be measured.
    """

    question: str
    canvas: tuple[int, int]  # height and width of the canonical image, pixels
    backbone: str  # the default
    generated: Amount  # what the generated dataset is like
    by_writer: bool  # whether people must be unseen in the test part; False for closed sets
    head: Callable[[Any, int, int], Any]
    losses: tuple[str, ...]
    accuracy: Callable[[Mapping[str, Any], Any], Any]
    watch: Callable[[np.ndarray, Targets], dict[str, float]]
    watched: str
    decide: Callable[[tuple[str, ...], np.ndarray, Targets], Any]
    errors: Callable[[Any, np.ndarray, Targets], dict[str, float]]
    judge: Judge
    defaults: Mapping[str, Any]  # of the settings that are left to the problem
    labels: tuple[str, ...] | None = None  # the only ones it learns from, in this order; None for any
    finish: Callable[[Any, np.ndarray, Backbone], Any] | None = None
    check: Callable[[list[Sample]], None] = lambda samples: None
    min_labels: int = 2
    relabel: Mapping[str, str] = dataclasses.field(default_factory=dict)  # corpus label -> this problem's label

    def label_of(self, found: str) -> str:
        """What a corpus' label means here."""
        return self.relabel.get(found, found)
