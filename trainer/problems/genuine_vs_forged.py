"""Is this image genuine or forged, for writers whose signatures were in training (a closed set)?

It also learns any N classes, one folder each. Images are split, not writers: the question presumes that every writer is
known. For writers who are not in training, use ``same_writer.py``. Next: ``_classification.py`` has head and losses.
"""

from trainer.problems._classification import make_closed_set_problem
from trainer.samples.amount import DatasetSpec

PROBLEM = make_closed_set_problem(
    question="is this signature genuine or forged (people known from training)?",
    generated_dataset=DatasetSpec("paired_folders", writers=10, genuine=24, forged=24),
)
