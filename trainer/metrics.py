"""Numbers people are judged by, computed with scikit-learn from the exported model's own vectors.

NumPy in, plain JSON out; percentages are 0 to 100, areas 0 to 1. Knows no files and no models.
"""

from typing import Any

import numpy as np
from sklearn import metrics as sk

from trainer.artifact.decision import Classify


def classification(vectors: np.ndarray, truth: list[str], decision: Classify) -> dict[str, Any]:
    """Accuracy, precision, recall and F1 of each label, confusion matrix (rows true, columns answered), ROC-AUC.

    ``vectors`` are class probabilities ``float32 [N, L]``; ``truth`` their N labels. ROC-AUC is that of the first label
    for two, the mean of one-against-rest for more, and ``None`` while a label has no image.
    """
    labels = list(decision.labels)
    true = np.array([labels.index(label) for label in truth])
    answered = decision.choose(vectors)
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        true, answered, labels=range(len(labels)), zero_division=0.0
    )
    each = {
        label: {"precision": 100 * float(p), "recall": 100 * float(r), "f1": 100 * float(f), "images": int(n)}
        for label, p, r, f, n in zip(labels, precision, recall, f1, support, strict=True)
    }
    return {
        "images": len(truth),
        "accuracy": 100 * float(np.mean(true == answered)),
        "labels": each,
        "confusion": sk.confusion_matrix(true, answered, labels=range(len(labels))).tolist(),
        "roc_auc": _roc_auc(vectors, true, support),
    }


def _roc_auc(vectors, true, support):
    if min(support) == 0:
        return None
    areas = [float(sk.roc_auc_score(true == index, vectors[:, index])) for index in range(vectors.shape[1])]
    return areas[0] if len(areas) == 2 else float(np.mean(areas))
