"""Ready artefacts: trained models that the installed package carries; to answer with one takes no training, no network.

Each is a folder beside this file, and ``ready:NAME`` is its path wherever an artefact is named. ``fetch_artifact`` is
the one way from such a path to a folder. Imports no TensorFlow. Next: ``trainer/artifact/artifact.py``, which opens it.
"""

import os
from pathlib import Path

from trainer import storage
from trainer.artifact import manifest
from trainer.artifact.manifest import BadArtifact
from trainer.settings.spelling import suggest_nearest
from trainer.storage import ProgressBar

SCHEME = "ready:"
# Where no artefact is named, these answer: what reads documents, classifies single images, and compares signatures.
FINDER = "ready:signature_on_page"
CLASSIFIER = "ready:signature_vs_text"
VERIFIER = "ready:same_writer"


class NoReadyArtifact(BadArtifact):
    """This installation has no ready artefact of that name; the message lists those that it has."""


def get_ready_dir() -> Path:
    """Return the folder of the ready artefacts: ``COUNTERSIGN_READY``, or that of this file."""
    return Path(os.environ.get("COUNTERSIGN_READY") or Path(__file__).parent)


def list_names() -> list[str]:
    """List the names of the ready artefacts that this installation has, sorted."""
    return sorted(path.parent.name for path in get_ready_dir().glob(f"*/{manifest.FILE}"))


def find_chain() -> dict[str, str]:
    """Return the ready artefacts of this installation by their role: ``artifact``, ``classifier`` and ``verifier``.

    Without a finder the classifier is the ``artifact``. Empty if there is neither.
    """
    finder, classifier, verifier = (
        path if path.removeprefix(SCHEME) in list_names() else "" for path in (FINDER, CLASSIFIER, VERIFIER)
    )
    if finder:
        return {"artifact": finder, "classifier": classifier, "verifier": verifier}
    return {"artifact": classifier, "verifier": verifier} if classifier else {}


def resolve(path: str) -> str:
    """Return the folder of ``ready:NAME``, and every other path as it is. Raises ``NoReadyArtifact``."""
    if not path.startswith(SCHEME):
        return path
    name, known = path.removeprefix(SCHEME), list_names()
    if name in known:
        return str(get_ready_dir() / name)
    if not known:
        raise NoReadyArtifact(f"{path!r} is not in this installation, which has no ready artefact; name another one")
    raise NoReadyArtifact(
        f"no ready artefact is called {name!r}{suggest_nearest(name, known) or ';'} there is: {', '.join(known)}"
    )


def fetch_artifact(path: str, target: Path | None = None, progress: ProgressBar | None = None) -> Path:
    """Return the local folder of an artefact, which is named by a folder, a ``gs://`` prefix or ``ready:NAME``.

    ``target`` and ``progress`` are those of ``storage.fetch``, for a download. Raises ``NoReadyArtifact`` or
    ``StorageError``; whether the folder is an artefact, ``trainer.artifact.manifest`` checks.
    """
    return storage.fetch(resolve(path), target, progress=progress)
