"""``python -m trainer.variant MODEL VARIANT OUT``: copy an artefact, to answer with another variant or other parts.

The export has built and measured all variants, so nothing is computed here. With ``--signature-check`` and
``--verifier``, an artefact that finds signatures on pages becomes the whole chain. Needs no TensorFlow. Next:
``artifact/copy.py`` writes the copy, ``artifact/manifest.py`` records the variants.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from trainer.artifact import manifest
from trainer.artifact.copy import write_copy
from trainer.console.errors import UserError
from trainer.console.progress import transfer_progress
from trainer.ready import fetch_artifact
from trainer.settings.flags import Parser

PARTS = {
    manifest.SIGNATURE_CHECK: "an artefact that decides whether an image is a signature, as a part",
    manifest.VERIFIER: "an artefact that compares the signatures which a finder has found, as a part",
}


def main(arguments: list[str] | None = None) -> int:
    """Write the copy and replay its golden answers. Return the exit status: 1 if that variant is not usable."""
    flags = Parser(prog="python -m trainer.variant", description=__doc__)
    flags.add_argument("model", metavar="MODEL", help="the artefact: a folder, a gs:// prefix or ready:NAME")
    flags.add_argument(
        "variant", choices=manifest.VARIANTS, metavar="VARIANT", help="variant that answers: float32 or int8"
    )
    flags.add_argument("out", metavar="OUT", type=Path, help="folder to create")
    for part, purpose in PARTS.items():
        flags.add_argument(f"--{part.replace('_', '-')}", metavar="PATH", default="", help=purpose)
    options = flags.parse_args(arguments)
    try:
        paths = {part: getattr(options, part) for part in PARTS if getattr(options, part)}
        parts = {part: fetch_artifact(path, progress=transfer_progress) for part, path in paths.items()}
        write_variant(fetch_artifact(options.model, progress=transfer_progress), options.variant, options.out, parts)
    except (UserError, OSError) as error:
        print(f"python -m trainer.variant: {error}", file=sys.stderr)
        return 1
    print(f"{options.out} answers with {options.variant}; it is artefact {manifest.identity(options.out)[:12]}")
    return 0


def write_variant(folder: Path, variant: str, out: Path, parts: Mapping[str, Path] = MappingProxyType({})) -> None:
    """Write a copy of an artefact that answers with this variant, with other artefacts as its parts, by name.

    Raises ``BadArtifact``, and ``FileExistsError`` if ``out`` exists.
    """
    write_copy(folder, manifest.select_variant(manifest.read(folder), variant), out, parts=parts)


if __name__ == "__main__":
    raise SystemExit(main())
