"""Answers with an artefact: the prediction container, a request maker, offline prediction and a Python API.

Of ``trainer`` it imports what both share, ``artifact``, ``ready``, ``imaging``, ``storage``, ``settings``, ``parallel``
and ``console``, and never TensorFlow at import. Start at ``service.py`` (what an answer is), ``app.py`` (how a request
comes to it) or ``recognizer.py`` (the Python API, whose names are here, too).
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from predictor.image_input import RecognizerError
    from predictor.recognizer import NotASignature, Recognizer
    from predictor.results import Classification, Embedding, Identification, Verification
    from trainer.console.errors import UserError
    from trainer.imaging import ImageError

__all__ = [
    "Classification",
    "Embedding",
    "Identification",
    "ImageError",
    "NotASignature",
    "Recognizer",
    "RecognizerError",
    "UserError",
    "Verification",
]
MODULES = {"UserError": "trainer.console.errors", "ImageError": "trainer.imaging"}  # the others are in recognizer.py


def __getattr__(name: str) -> Any:
    """Import a name of the Python API when it is first used, so that a health check need not wait for NumPy."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(MODULES.get(name, "predictor.recognizer")), name)
