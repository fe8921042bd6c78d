"""``python -m trainer.variant MODEL VARIANT OUT``: a copy of an artefact that answers with another of its variants.

Export made and measured both; this chooses, for a deployment that wants the other. Needs no TensorFlow.
"""

import shutil
import sys
from pathlib import Path

from trainer import storage
from trainer.artifact import manifest
from trainer.artifact.artifact import Model
from trainer.console.errors import UserError
from trainer.console.progress import fetching
from trainer.settings.flags import Parser


def main(arguments: list[str] | None = None) -> int:
    """Write the copy and replay its golden answers; 1 when that variant is not usable."""
    flags = Parser(prog="python -m trainer.variant", description=__doc__)
    flags.add_argument("model", metavar="MODEL", help="the artefact's folder, may be gs://")
    flags.add_argument("variant", choices=manifest.VARIANTS, metavar="VARIANT", help="float32 or int8")
    flags.add_argument("out", metavar="OUT", type=Path, help="a new folder")
    options = flags.parse_args(arguments)
    try:
        copy(storage.fetch(options.model, progress=fetching), options.variant, options.out)
    except (UserError, OSError) as error:
        print(f"python -m trainer.variant: {error}", file=sys.stderr)
        return 1
    print(f"{options.out} answers with {options.variant}; it is artefact {manifest.identity(options.out)[:12]}")
    return 0


def copy(folder: Path, variant: str, out: Path) -> None:
    """The artefact, answering with this variant. Raises ``BadArtifact``, or ``FileExistsError`` for a folder in use."""
    whole = manifest.read(folder)
    manifest.verify(whole, folder)  # or damage would be recorded as what it should be
    described = manifest.select_variant(whole, variant)
    if out.exists():
        raise FileExistsError(f"{str(out)!r} exists; OUT has to be new")
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(folder, partial)
    if described.signature_check:  # of an older format, too, where the artefact is
        manifest.write(manifest.read(partial / described.signature_check), partial / described.signature_check)
    manifest.write(described, partial)
    Model(partial).prove()
    partial.rename(out)


if __name__ == "__main__":
    raise SystemExit(main())
