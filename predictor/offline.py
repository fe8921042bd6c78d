"""``python -m predictor.offline PATH...``: answer image files, PDFs and folders of them without a server.

The answers are those of a server with the same artefact; without --artifact, the ready ones answer: signatures are
found on pages, and compared where there are references. These are --reference files or writers on file, of --people:
the name of its folder is the writer that a file claims, unless --identify searches the writer. Next:
``offline_answers.py``, which answers a file.
"""

import argparse
import concurrent.futures
import dataclasses
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from predictor.blas_threads import limit_blas_threads

limit_blas_threads()  # before NumPy is imported

from predictor.models import Models
from predictor.offline_answers import FileAnswerer
from predictor.people import PeopleFile
from predictor.tables import WRITERS
from trainer import ready, storage
from trainer.artifact import manifest
from trainer.artifact.artifact import Artifact
from trainer.artifact.decision import Classifier, Locator, UnsupportedRequest, Verifier
from trainer.artifact.manifest import BadArtifact
from trainer.console.progress import transfer_progress
from trainer.enrolment.errors import EnrolmentError
from trainer.imaging import ImageError
from trainer.imaging.formats import FILE_SUFFIXES
from trainer.settings.flags import LOG, OldFlag, Parser

FORMATS = ("table", "csv", "jsonl")


def main(arguments: list[str] | None = None) -> int:
    """Print one row for each file; return 1 when the model cannot be opened or a file has an error."""
    options = _parse_arguments(arguments)
    try:
        models = _open_models(options)
        answerer = FileAnswerer.make(models, options)
        files = list(_find_files(options.paths, FILE_SUFFIXES | answerer.suffixes))
    except (BadArtifact, UnsupportedRequest, EnrolmentError, ImageError, OSError) as error:
        print(f"python -m predictor.offline: {error}", file=sys.stderr)
        return 1
    if not files:
        print("python -m predictor.offline: no image in these folders", file=sys.stderr)
        return 1
    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    try:
        rows = pool.map(answerer.answer, range(1, len(files) + 1), files)
        error_count = WRITERS[options.format](rows, answerer.columns)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as ``| head``, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python's flush at exit prints an error
        error_count = 0
    finally:
        pool.shutdown(cancel_futures=True)
    return 1 if error_count else 0


def _open_models(options: argparse.Namespace) -> Models:
    """Open the artefact of the options, or the ready ones, and the writers on file; replay the golden answers.

    Raises ``BadArtifact`` or ``EnrolmentError``.
    """
    paths = {"artifact": options.artifact} if options.artifact else _find_ready_artifacts(options)
    opened = {}
    for role, path in paths.items():
        if path:
            opened[role] = Artifact(ready.fetch_artifact(path, progress=transfer_progress))
            opened[role].replay_golden()
    if not options.artifact:
        question = opened["artifact"].manifest.question
        print(f"{paths['artifact']} answers: {question} Another artefact: --artifact", file=sys.stderr)
    models = Models.compose(opened["artifact"], opened.get("verifier"), opened.get("classifier"))
    if not options.people or not models.find_verifier():
        return models
    people = PeopleFile(options.people, options.people_key).open(models.find_verifier())
    return dataclasses.replace(models, gallery=people.gallery)


def _find_ready_artifacts(options: argparse.Namespace) -> dict[str, str]:
    """Return the ready artefacts that answer where none is named, by their role, as a server without settings does."""
    chain = ready.find_chain() or {"artifact": ready.CLASSIFIER}
    needs_verifier = options.reference or options.people or options.return_embedding or options.task == Verifier.task
    is_single = options.task == Verifier.task or options.return_embedding or "classifier" not in chain
    if needs_verifier and is_single:
        return {"artifact": ready.VERIFIER}
    if options.task == Classifier.task:
        return {"artifact": ready.CLASSIFIER}
    return {role: path for role, path in chain.items() if role != "verifier" or needs_verifier}


def _parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = Parser(prog="python -m predictor.offline", description=__doc__)
    parser.add_argument("paths", nargs="+", metavar="PATH", help="image file, or folder of image files")
    parser.add_argument(
        "--artifact",
        default="",
        metavar="PATH",
        help="the artefact: a folder, a gs:// prefix or ready:NAME "
        f"(default: {ready.FINDER}, with {ready.VERIFIER} for references)",
    )
    parser.add_argument("--format", choices=FORMATS, default="table", help="table, csv or jsonl (default: table)")
    parser.add_argument(
        "--task",
        choices=(Locator.task, Classifier.task, Verifier.task),
        help="find signatures on pages, classify single images, or compare them as they are (default: what the "
        "artefact is for)",
    )
    group = parser.add_argument_group("for signatures on pages")
    group.add_argument("--crops", type=Path, metavar="FOLDER", help="folder for the signatures, as transparent PNGs")
    group.add_argument("--draw", type=Path, metavar="FOLDER", help="folder for pictures of the pages with boxes")
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
    group.add_argument("--return-embedding", action="store_true", help="print the embedding, too (jsonl)")
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
    options = parser.parse_args(arguments)
    if not options.artifact and _is_artifact(options.paths[0]):  # the form of the release before
        options.artifact = options.paths.pop(0)
        if not options.paths:
            parser.error(f"{options.artifact!r} is an artefact; give image files or folders, too")
        LOG.warning("an artefact as the first PATH is now --artifact PATH; the next release takes it for images")
    options.paths = [Path(path) for path in options.paths]
    return options


def _is_artifact(path: str) -> bool:
    return path.startswith(storage.REMOTE) or (Path(path) / manifest.FILE).is_file()


def _find_files(paths: list[Path], suffixes: frozenset[str]) -> Iterator[Path]:
    """Yield the images and PDFs among paths and in folders. Raises ``FileNotFoundError``."""
    for path in paths:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.suffix.lower() in suffixes and p.is_file())
        elif path.is_file():
            yield path
        else:
            raise FileNotFoundError(f"no file or folder {str(path)!r}")


def run() -> int:
    """Run ``python -m predictor.offline``, or ``countersign-predict``; return its exit status."""
    return main()


if __name__ == "__main__":
    raise SystemExit(run())
