"""Is this crop a signature, or a printed or handwritten word?

Genuine or forged, a signature is a signature: sets for verification serve as signatures here.
"""

from trainer.problems._classification import classification_problem
from trainer.samples.amount import Amount

PROBLEM = classification_problem(
    question="is this a signature or text?",
    canvas=(96, 192),
    backbone="compact",
    generated=Amount("class_folders", writers=160, genuine=3, forged=2, text=5),
    by_writer=True,
    relabel={"genuine": "signature", "forged": "signature"},
)
