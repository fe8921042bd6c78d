"""Compare the variants of an artefact, each with the decision that was fitted to it, by their error rates.

Next: ``trainer/training/export.py`` and ``trainer/evaluation/recalibration.py``, which fit the decisions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.artifact.decision import Decision

MAX_ERROR_INCREASE = 0.3  # percentage points by which the error rates of a usable variant may exceed those of the first


def compare_variants(fitted: Mapping[str, tuple[Decision, dict[str, float]]]) -> dict[str, dict[str, Any]]:
    """Return ``errors``, ``usable`` and ``decision`` of each variant as the manifest keeps them.

    ``fitted`` are the decision of each variant and its error rates in percent. A variant is usable when its error rates
    hardly exceed those of the first.
    """
    _, first_errors = next(iter(fitted.values()))
    return {
        name: {
            "errors": errors,
            "usable": all(rate <= first_errors[error] + MAX_ERROR_INCREASE for error, rate in errors.items()),
            "decision": decision.to_manifest(),
        }
        for name, (decision, errors) in fitted.items()
    }
