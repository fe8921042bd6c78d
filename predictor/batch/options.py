"""The flags of ``predictor.offline``. Next: ``opening.py`` opens what they name; ``predictor/offline.py`` runs."""

import argparse
from pathlib import Path
from typing import Any

from trainer import ready, storage
from trainer.artifact import manifest
from trainer.artifact.decision import Classifier, Locator, Verifier
from trainer.settings.flags import LOG, OldFlag, Parser, between, to_argparse_type

PROG = "python -m predictor.offline"
FORMATS = ("table", "csv", "jsonl", "parquet")
RUNNERS = ("direct", "portable", "flink", "spark", "dataflow")  # those of trainer.prepare
ROWS_PER_PART = 5000
SUFFIXES = {".csv": "csv", ".jsonl": "jsonl", ".parquet": "parquet"}


def parse_arguments(arguments: list[str], description: str) -> argparse.Namespace:
    """Parse the flags; with ``--runner``, what follows ``--`` are options of Beam, ``beam_arguments``."""
    parser = _make_parser(description)
    end = arguments.index("--") if "--" in arguments else len(arguments)
    has_runner = any(each.split("=")[0] == "--runner" for each in arguments[:end])
    options = parser.parse_args(arguments[:end] if has_runner else arguments)
    options.beam_arguments = arguments[end + 1 :] if has_runner else []
    if not options.artifact and _is_artifact(options.paths[0]):  # the form of the release before
        options.artifact = options.paths.pop(0)
        if not options.paths:
            parser.error(f"{options.artifact!r} is an artefact; give image files or folders, too")
        LOG.warning("an artefact as the first PATH is now --artifact PATH; the next release takes it for images")
    options.format = options.format or _choose_format(options)
    if message := _find_contradiction(options):
        parser.error(message)
    return options


def _make_parser(description: str) -> Parser:
    parser = Parser(prog=PROG, description=description)
    parser.add_argument("paths", nargs="+", metavar="PATH", help="image file, or folder of them, also at gs://")
    parser.add_argument(
        "--artifact",
        default="",
        metavar="PATH",
        help="the artefact: a folder, a gs:// prefix or ready:NAME "
        f"(default: {ready.FINDER}, with {ready.VERIFIER} for references)",
    )
    format_help = "table, csv, jsonl or, with --out, parquet (default: by the suffix of --out, else table)"
    parser.add_argument("--format", choices=FORMATS, help=format_help)
    parser.add_argument(
        "--task",
        choices=(Locator.task, Classifier.task, Verifier.task),
        help="find signatures on pages, classify single images, or compare them as they are (default: what the "
        "artefact is for)",
    )
    _add_flags_of_many_files(parser)
    group = parser.add_argument_group("for signatures on pages")
    group.add_argument("--crops", type=Path, metavar="FOLDER", help="folder for the signatures, as transparent PNGs")
    group.add_argument("--draw", type=Path, metavar="FOLDER", help="folder for pictures of the pages with boxes")
    _add_flags_of_verifiers(parser)
    return parser


def _add_flags_of_many_files(parser: Parser) -> None:
    group = parser.add_argument_group("for many files")
    group.add_argument(
        "--out",
        default="",
        metavar="PATH",
        help="write the answers here: one file of JSON Lines or CSV, a folder of Parquet files. After an interruption "
        "the same command continues",
    )
    group.add_argument("--overwrite", action="store_true", help="replace the answers that are at --out")
    group.add_argument(
        "--workers",
        type=to_argparse_type(between(1, 1024, int)),
        metavar="N",
        help="processes that answer (default: as many as processors; without --out threads, if there are few files)",
    )
    group.add_argument(
        "--rows-per-part",
        type=to_argparse_type(between(1, 10_000_000, int)),
        default=ROWS_PER_PART,
        metavar="N",
        help=f"rows of each Parquet file (default: {ROWS_PER_PART})",
    )
    group.add_argument(
        "--runner",
        choices=RUNNERS,
        help="answer with Apache Beam, on local processes or a cluster, into many files below --out; options of Beam "
        "follow after --",
    )


def _add_flags_of_verifiers(parser: Parser) -> None:
    group = parser.add_argument_group("for verifiers")
    reference_help = "genuine signature to compare with; may be repeated"
    group.add_argument("--reference", action="append", default=[], type=Path, metavar="FILE", help=reference_help)
    group.add_argument(
        "--people", metavar="FILE", help="writers on file, local or at gs://, a file that trainer.enrol made"
    )
    group.add_argument("--people-key", default="", metavar="FILE", help="the key that --people is encrypted with")
    chosen = group.add_mutually_exclusive_group()
    chosen.add_argument("--writer", metavar="NAME", help="the writer of --people that all images claim")
    chosen.add_argument("--identify", action="store_true", help="search the writer among all of --people")
    group.add_argument("--fpir", type=float, metavar="RATE", help="identify at most this rate of strangers")
    threshold = group.add_mutually_exclusive_group()
    threshold.add_argument("--far", type=float, metavar="RATE", help="decide by this false acceptance rate")
    threshold.add_argument("--threshold", type=float, metavar="SCORE", help="accept from this score upwards")
    group.add_argument("--return-embedding", action="store_true", help="give the embedding, too (jsonl, parquet)")
    group.add_argument(
        "--explanation-dir",
        type=Path,
        metavar="FOLDER",
        help="folder for pictures of what lowers the score of each image",
    )
    old: dict[str, Any] = {"action": OldFlag, "default": argparse.SUPPRESS, "help": argparse.SUPPRESS}
    group.add_argument("--embedding", dest="return_embedding", const="--return-embedding", nargs=0, **old)
    group.add_argument("--enrolled", dest="people", const="--people", **old)
    group.add_argument("--explain", dest="explanation_dir", const="--explanation-dir", type=Path, **old)


def _choose_format(options: argparse.Namespace) -> str:
    """Return the format that the suffix of ``--out`` names; a table without ``--out``."""
    if not options.out:
        return "table"
    return SUFFIXES.get(Path(options.out).suffix.lower(), "jsonl" if options.runner else "")


def _find_contradiction(options: argparse.Namespace) -> str | None:
    """Return what is wrong with flags that do not go together."""
    if options.out and options.format not in SUFFIXES.values():
        return f"--out {options.out!r}: end it in {', '.join(SUFFIXES)}, or give --format csv, jsonl or parquet"
    if not options.out and (options.format == "parquet" or options.runner or options.overwrite):
        return "--format parquet, --runner and --overwrite need --out PATH"
    if storage.is_remote(options.out) and not options.runner:
        return f"--out {options.out!r} is on Cloud Storage, to which only a --runner writes; name a local path"
    if options.runner and options.format == "csv":
        return "--runner writes many files, of jsonl or parquet"
    if options.runner and (options.crops or options.draw or options.explanation_dir or options.workers):
        return "--crops, --draw, --explanation-dir and --workers are for this machine, without --runner"
    return None


def _is_artifact(path: str) -> bool:
    try:
        return storage.exists(f"{path.rstrip('/')}/{manifest.FILE}")
    except OSError:
        return False  # a path that cannot be read is named when its images are listed
