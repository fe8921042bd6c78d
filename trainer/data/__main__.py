"""``python -m trainer.data PATH...``: show how folders, zips, CSV files and gs:// paths are read.

Reads names, no pixels. Next: ``sources.py`` and ``corpora/__init__.py``.
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
    """Print a row for each path; returns the exit status, 1 when a path cannot be read."""
    flags = Parser(prog="python -m trainer.data", description=__doc__.partition(" Next:")[0])
    flags.add_argument("paths", nargs="+", metavar="[LABEL=]PATH", help="folder, zip, CSV file or gs:// path")
    flags.add_argument("--layout", default="", metavar="NAME", help="the layout of every path; detected where not set")
    options = flags.parse_args(arguments)
    table = Table("path", "layout", "images", "labels", "splits", "writers", "no writer")
    try:
        data_sources = [sources.fetch_source(path) for path in options.paths]
        listings = corpora.read_corpora(
            [(source.label, source.root, source.name) for source in data_sources], options.layout
        )
    except (UserError, OSError) as error:
        print(f"python -m trainer.data: {error}", file=sys.stderr)
        return 1
    for path, listing in zip(options.paths, listings, strict=True):
        labels = collections.Counter(sample.label for sample in listing.samples)
        writers = {sample.writer for sample in listing.samples} - {None}
        without_writer = sum(sample.writer is None for sample in listing.samples)
        label_counts = ", ".join(f"{count} {label}" for label, count in labels.most_common())
        splits = {**listing.split_counts, **({corpora.PREDICT: listing.predict_count} if listing.predict_count else {})}
        split_counts = ", ".join(f"{count} {split}" for split, count in splits.items())
        counts = (str(len(writers)), str(without_writer))
        table.add_row(Text(path), listing.layout, str(len(listing.samples)), Text(label_counts), split_counts, *counts)
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    return 0


if __name__ == "__main__":
    quiet.escape_undecodable_output()
    raise SystemExit(main())
