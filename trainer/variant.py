"""``python -m trainer.variant MODEL VARIANT OUT``: copy an artefact so that it answers with another of its variants.

The export has built and measured all variants, so nothing is computed here. Needs no TensorFlow. Next:
``artifact/copy.py`` writes the copy, ``artifact/manifest.py`` records the variants.
"""

import sys
from pathlib import Path

from trainer.artifact import manifest
from trainer.artifact.copy import write_copy
from trainer.console.errors import UserError
from trainer.console.progress import transfer_progress
from trainer.ready import fetch_artifact
from trainer.settings.flags import Parser


def main(arguments: list[str] | None = None) -> int:
    """Write the copy and replay its golden answers. Return the exit status: 1 if that variant is not usable."""
    flags = Parser(prog="python -m trainer.variant", description=__doc__)
    flags.add_argument("model", metavar="MODEL", help="the artefact: a folder, a gs:// prefix or ready:NAME")
    flags.add_argument(
        "variant", choices=manifest.VARIANTS, metavar="VARIANT", help="variant that answers: float32 or int8"
    )
    flags.add_argument("out", metavar="OUT", type=Path, help="folder to create")
    options = flags.parse_args(arguments)
    try:
        write_variant(fetch_artifact(options.model, progress=transfer_progress), options.variant, options.out)
    except (UserError, OSError) as error:
        print(f"python -m trainer.variant: {error}", file=sys.stderr)
        return 1
    print(f"{options.out} answers with {options.variant}; it is artefact {manifest.identity(options.out)[:12]}")
    return 0


def write_variant(folder: Path, variant: str, out: Path) -> None:
    """Write a copy of an artefact that answers with this variant.

    Raises ``BadArtifact``, and ``FileExistsError`` if ``out`` exists.
    """
    write_copy(folder, manifest.select_variant(manifest.read(folder), variant), out)


if __name__ == "__main__":
    raise SystemExit(main())
