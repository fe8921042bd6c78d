"""Copy an artefact with another manifest, complete or absent, and prove the copy by its golden answers.

Next: ``trainer/variant.py`` and ``trainer/calibrate.py``, which change the manifest.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from trainer.artifact import manifest
from trainer.artifact.artifact import Artifact
from trainer.artifact.manifest import Manifest


def check_new(out: Path) -> None:
    """Raise ``FileExistsError`` if there is something at ``out``."""
    if out.exists():
        raise FileExistsError(f"{str(out)!r} exists; it has to be new")


def write_copy(folder: Path, changed: Manifest, out: Path, left_out: Sequence[str] = ()) -> None:
    """Write a copy of the artefact in ``folder`` with a changed manifest, without the files ``left_out``.

    Raises ``BadArtifact``, and ``FileExistsError`` if ``out`` exists.
    """
    manifest.verify(manifest.read(folder), folder)  # or the new manifest would record damaged files as intact
    check_new(out)
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(folder, partial)
    for name in left_out:
        (partial / name).unlink(missing_ok=True)
    if changed.signature_check:  # an artefact of an older format has a signature check of that format
        manifest.write(manifest.read(partial / changed.signature_check), partial / changed.signature_check)
    manifest.write(changed, partial)
    Artifact(partial).replay_golden()
    partial.rename(out)
