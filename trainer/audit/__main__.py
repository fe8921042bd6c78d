"""``python -m trainer.audit DATA...``: is this data fit to learn from, and would its numbers be believed?

Finds copies, people and documents on both sides of a split, shortcuts that give labels away, and what is lopsided.
Prints tables; writes ``audit.json`` and ``audit.html`` (with pictures of the data) where --out says.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from trainer import corpora
from trainer.audit import html, render, verification_check
from trainer.audit.examine import examine
from trainer.console import quiet
from trainer.console.errors import UserError
from trainer.data import sources
from trainer.data.image_index import survey
from trainer.imaging import INKS, Imaging
from trainer.settings.flags import Parser


def main(arguments: list[str] | None = None) -> int:
    """1 when the data cannot be read, or with --strict when something would make published numbers untrue."""
    flags = Parser(prog="python -m trainer.audit", description=__doc__)
    flags.add_argument(
        "data", nargs="+", metavar="[LABEL=]DATA", help="folder, zip, CSV file or gs:// path to learn from"
    )
    flags.add_argument("--test-dir", action="append", default=[], metavar="DATA", help="what models are tested on")
    flags.add_argument("--layout", default="", metavar="NAME", help="of every folder, instead of detecting it")
    flags.add_argument("--out", type=Path, metavar="FOLDER", help="where audit.json and audit.html go")
    flags.add_argument("--strict", action="store_true", help="fail when published numbers would be untrue")
    flags.add_argument("--report", type=Path, metavar="FILE", help="report.json of a verifier, to look at as well")
    flags.add_argument("--height", type=int, default=96, metavar="PIXELS", help="of the canvas (%(default)s)")
    flags.add_argument("--width", type=int, default=192, metavar="PIXELS", help="of the canvas (%(default)s)")
    flags.add_argument("--ink", choices=INKS, default=INKS[0], help="as for trainer.task (%(default)s)")
    options = flags.parse_args(arguments)
    try:
        return _audit(options)
    except (UserError, OSError, ValueError) as error:
        print(f"python -m trainer.audit: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _audit(options) -> int:
    imaging = Imaging(options.height, options.width, ink=options.ink)
    report = json.loads(options.report.read_text()) if options.report else {}
    if not isinstance(report, dict):
        raise UserError(f"{str(options.report)!r} is no report: it holds no JSON object")
    brought = [sources.bring(path) for path in (*options.data, *options.test_dir)]
    readings = corpora.read_all(((source.label, source.root, source.name) for source in brought), options.layout)
    samples = [sample for reading in readings for sample in reading.samples]
    with tempfile.TemporaryDirectory(prefix="countersign-audit-") as folder:
        look = survey(samples, imaging, Path(folder) / "survey")
        judged = examine(look, readings, len(options.test_dir), more=verification_check.findings(report))
        if options.out:
            options.out.mkdir(parents=True, exist_ok=True)
            _write(options.out / "audit.json", json.dumps(judged.content, indent=1) + "\n")
            _write(options.out / "audit.html", html.write(look, judged.content))
    width = None if sys.stdout.isatty() else 160
    Console(width=width).print(Markdown("\n".join(render.markdown(judged.content))))
    if options.out:
        print(f"audit: {options.out / 'audit.html'}")
    return 1 if options.strict and judged.makes_numbers_untrue else 0


def _write(path: Path, text: str) -> None:
    """In one step. Names may hold bytes that are no text."""
    partial = path.with_suffix(path.suffix + ".partial")
    partial.write_text(text, encoding="utf-8", errors="backslashreplace")
    os.replace(partial, path)


if __name__ == "__main__":
    quiet.print_any_name()
    raise SystemExit(main())
