"""Is this image genuine or forged, for people whose signatures were in training (a closed set)?

Also serves any folders of N classes. Images, not writers, are split: the question presumes that every person is known.
For people never seen, ask whether two signatures are by the same writer instead.
"""

from trainer.problems._classification import classification_problem
from trainer.samples.amount import Amount

PROBLEM = classification_problem(
    question="is this signature genuine or forged (people known from training)?",
    canvas=(64, 128),
    backbone="compact",
    generated=Amount("paired_folders", writers=20, genuine=40, forged=40),
    by_writer=False,
)
