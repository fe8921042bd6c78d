"""``python -m trainer.audit DATA...``: check whether data is fit for training and for measuring models.

Reports duplicates, writers and documents in two splits, shortcuts that give labels away, and class imbalance. Prints
tables; with --out also writes ``audit.json`` and ``audit.html``, which shows images of the data.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from trainer import corpora
from trainer.audit import html_report, render, verification_check
from trainer.audit.audit import run_audit
from trainer.console import quiet
from trainer.console.errors import UserError
from trainer.data import sources
from trainer.data.image_index import build_image_index
from trainer.imaging import INKS, Imaging
from trainer.settings.flags import Parser


def main(arguments: list[str] | None = None) -> int:
    """Return 1 when the data cannot be read, or with --strict when there is a finding of severity error."""
    parser = Parser(prog="python -m trainer.audit", description=__doc__)
    parser.add_argument(
        "data", nargs="+", metavar="[LABEL=]DATA", help="training data: folder, zip, CSV file or gs:// path"
    )
    parser.add_argument("--test-dir", action="append", default=[], metavar="DATA", help="test data, in the same forms")
    parser.add_argument("--layout", default="", metavar="NAME", help="layout of every folder, instead of detecting it")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="folder for audit.json and audit.html")
    parser.add_argument("--strict", action="store_true", help="exit with 1 on a finding of severity error")
    parser.add_argument("--report", type=Path, metavar="FILE", help="report.json of a verifier, to check as well")
    parser.add_argument(
        "--height", type=int, default=96, metavar="PIXELS", help="height of canonical images (%(default)s)"
    )
    parser.add_argument(
        "--width", type=int, default=192, metavar="PIXELS", help="width of canonical images (%(default)s)"
    )
    parser.add_argument("--ink", choices=INKS, default=INKS[0], help="ink, as for trainer.task (%(default)s)")
    options = parser.parse_args(arguments)
    try:
        return _audit(options)
    except (UserError, OSError, ValueError) as error:
        print(f"python -m trainer.audit: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _audit(options: argparse.Namespace) -> int:
    """Read, audit, write and print; return the exit status."""
    imaging = Imaging(options.height, options.width, ink=options.ink)
    report = json.loads(options.report.read_text()) if options.report else {}
    if not isinstance(report, dict):
        raise UserError(f"{str(options.report)!r} is not a report: it has to hold a JSON object")
    fetched = [sources.fetch_source(path) for path in (*options.data, *options.test_dir)]
    listings = corpora.read_corpora(((source.label, source.root, source.name) for source in fetched), options.layout)
    samples = [sample for listing in listings for sample in listing.samples]
    with tempfile.TemporaryDirectory(prefix="countersign-audit-") as folder:
        index = build_image_index(samples, imaging, Path(folder) / "index")
        verifier_findings = verification_check.derive_findings(report)
        audit = run_audit(index, listings, len(options.test_dir), extra_findings=verifier_findings)
        if options.out:
            options.out.mkdir(parents=True, exist_ok=True)
            _write(options.out / "audit.json", json.dumps(audit.content, indent=1) + "\n")
            _write(options.out / "audit.html", html_report.render_html(index, audit.content))
    width = None if sys.stdout.isatty() else 160
    Console(width=width).print(Markdown("\n".join(render.render_markdown(audit.content))))
    if options.out:
        print(f"audit: {options.out / 'audit.html'}")
    return 1 if options.strict and audit.has_errors else 0


def _write(path: Path, text: str) -> None:
    """Write a file in one step. File names in the text may hold bytes that are not UTF-8; these are escaped."""
    partial = path.with_suffix(path.suffix + ".partial")
    partial.write_text(text, encoding="utf-8", errors="backslashreplace")
    os.replace(partial, path)


if __name__ == "__main__":
    quiet.escape_undecodable_output()
    raise SystemExit(main())
