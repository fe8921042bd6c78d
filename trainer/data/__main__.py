"""``python -m trainer.data PATH...``: what would be read from folders, zips, CSV files and Cloud Storage.

Reads names, no pixels.
"""

import collections
import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trainer import corpora
from trainer.console import quiet
from trainer.console.errors import UserError
from trainer.data import sources
from trainer.settings.flags import Parser


def main(arguments: list[str] | None = None) -> int:
    """Print one row for each path; 1 when one cannot be read."""
    flags = Parser(prog="python -m trainer.data", description=__doc__)
    flags.add_argument("paths", nargs="+", metavar="[LABEL=]PATH", help="folder, zip, CSV file or gs:// path")
    flags.add_argument("--layout", default="", metavar="NAME", help="of every path, instead of detecting it")
    options = flags.parse_args(arguments)
    table = Table("path", "layout", "images", "labels", "parts", "writers", "no writer")
    try:
        brought = [sources.bring(path) for path in options.paths]
        readings = corpora.read_all([(source.label, source.root, source.name) for source in brought], options.layout)
    except (UserError, OSError) as error:
        print(f"python -m trainer.data: {error}", file=sys.stderr)
        return 1
    for path, reading in zip(options.paths, readings, strict=True):
        labels = collections.Counter(sample.label for sample in reading.samples)
        writers = {sample.writer for sample in reading.samples} - {None}
        alone = sum(sample.writer is None for sample in reading.samples)
        told = ", ".join(f"{count} {label}" for label, count in labels.most_common())
        parts = {**reading.parts, **({corpora.PREDICT: reading.predict} if reading.predict else {})}
        held = ", ".join(f"{count} {part}" for part, count in parts.items())
        counts = (str(len(writers)), str(alone))
        table.add_row(Text(path), reading.layout, str(len(reading.samples)), Text(told), held, *counts)
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    return 0


if __name__ == "__main__":
    quiet.print_any_name()
    raise SystemExit(main())
