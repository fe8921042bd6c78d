"""Is this crop a signature, or a printed or handwritten word?

A forged signature is a signature: corpora for verification contribute signatures to this problem.
Next: ``_classification.py`` has head and losses.
"""

from trainer.problems import rename_labels
from trainer.problems._classification import make_classification_problem
from trainer.samples.amount import DatasetSpec

PROBLEM = make_classification_problem(
    question="is this a signature or text?",
    canvas=(96, 192),
    backbone="compact",
    generated_dataset=DatasetSpec("class_folders", writers=160, genuine=3, forged=2, text=5, other=2),
    is_writer_independent=True,
    relabel=rename_labels({"genuine": "signature", "forged": "signature"}),
)
