"""``python -m trainer.ready ARTIFACT NAME --facts FILE``: make an exported artefact the ready one of that name.

Next: ``pack.py``, which does it, and ``trainer/artifact/card.py``, which words the card.
"""

import dataclasses
import json
import re
import sys
from pathlib import Path

from trainer import ready
from trainer.artifact import card, manifest
from trainer.artifact.artifact import Artifact
from trainer.artifact.monitoring import Distributions
from trainer.console.errors import UserError
from trainer.ready import pack
from trainer.settings.flags import Parser


def main(arguments: list[str] | None = None) -> int:
    """Pack the artefact; returns the exit status. An error leaves the present ready artefact as it is."""
    parser = Parser(prog="python -m trainer.ready", description=__doc__.partition("\n")[0])
    parser.add_argument("artifact", metavar="ARTIFACT", help="exported artefact: a folder or a gs:// prefix")
    parser.add_argument("name", metavar="NAME", help="ready:NAME will be its path")
    parser.add_argument("--facts", type=Path, required=True, help="JSON file with what only people know of the card")
    parser.add_argument("--measurements", type=Path, help="JSON file with the measurements of the card, instead")
    parser.add_argument(
        "--variants",
        nargs="+",
        choices=manifest.VARIANTS,
        default=list(manifest.VARIANTS),
        help="LiteRT variants to keep (all)",
    )
    parser.add_argument(
        "--monitoring", type=Path, metavar="FILE", help="monitoring.json of trainer.evaluate, in the place of its own"
    )
    parser.add_argument("--verifier", metavar="PATH", help="for an ARTIFACT that finds signatures: what compares them")
    options = parser.parse_args(arguments)
    folder = ready.get_ready_dir() / options.name
    if not re.fullmatch("[a-z0-9_]+", options.name):
        parser.error(f"NAME is {options.name!r}; it has to be of lower-case letters, digits and _")
    if folder.exists() and not (folder / manifest.FILE).exists():
        parser.error(f"{str(folder)!r} is no artefact; choose another NAME, nothing else is replaced")
    try:
        facts = card.read_facts(options.facts)
        if options.measurements:
            facts = dataclasses.replace(facts, measurements=card.read_measurements(options.measurements))
        verifier = Artifact(ready.fetch_artifact(options.verifier)) if options.verifier else None
        monitoring = None
        if options.monitoring:
            monitoring = Distributions.from_json(json.loads(options.monitoring.read_text())).to_json()
        artifact_dir = ready.fetch_artifact(options.artifact)
        pack.pack(artifact_dir, facts, folder, options.variants, verifier, monitoring)
    except (UserError, OSError) as error:
        print(f"python -m trainer.ready: {error}", file=sys.stderr)
        return 1
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{ready.SCHEME}{options.name}: {size / 1e6:.2f} MB in {folder}; read its {card.FILE}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
