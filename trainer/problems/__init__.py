"""What can be learnt, one file each: the question, the head, the loss, the decision and how it is measured.

A new problem is one more file that defines ``PROBLEM``; nothing outside this folder asks for a problem by name. Knows
Keras and decisions, not files or servers. Next: ``trainer/model.py`` puts a problem's head on a backbone.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from trainer.judge import Judge
from trainer.samples import Amount

CONSTANT = "PROBLEM"


@dataclasses.dataclass(frozen=True)
class Problem:
    """A question as values and functions.

    ``head`` maps features ``float32 [N, F]`` to vectors ``float32 [N, D]``, the exported model's output. ``loss`` maps
    (targets, vectors) to ``float32 [N]``, targets being a dict of ``label`` and ``writer``, each ``int32 [N]``.
    ``accuracy`` likewise to the number that is shown beside it. ``decision`` makes the manifest's decision from the
    labels. ``judge`` measures, tells and draws what came of it.
    """

    question: str
    canvas: tuple[int, int]  # height and width of the canonical image, pixels
    backbone: str  # the default
    generated: Amount  # what the generated dataset is like
    by_writer: bool  # whether people must be unseen in the test part; False for closed sets
    head: Callable[[Any, int], Any]
    loss: Callable[[Mapping[str, Any], Any], Any]
    accuracy: Callable[[Mapping[str, Any], Any], Any]
    decision: Callable[[tuple[str, ...]], Any]
    judge: Judge
    min_labels: int = 2
    relabel: Mapping[str, str] = dataclasses.field(default_factory=dict)  # corpus label -> this problem's label

    def label_of(self, found: str) -> str:
        """What a corpus' label means here."""
        return self.relabel.get(found, found)
