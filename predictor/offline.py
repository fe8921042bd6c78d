"""``python -m predictor.offline PATH...``: answer image files, PDFs and folders of them without a server.

The answers are those of a server with the same artefact; without --artifact, the ready ones answer: signatures are
found on pages, and compared where there are references. These are --reference files or writers on file, of --people:
the name of its folder is the writer that a file claims, unless --identify searches the writer. Many files are answered
with --out, or on many machines with --runner. Next: ``batch/workers.py``, which answers; ``batch/options.py``.
"""

import argparse
import contextlib
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from predictor.blas_threads import limit_blas_threads

limit_blas_threads()  # before NumPy is imported

from predictor.batch import tables
from predictor.batch.answering import FileAnswerer
from predictor.batch.line_output import LineOutput, Written
from predictor.batch.listing import check_paths, list_files
from predictor.batch.opening import AnswererSpec, choose_artifacts, print_question
from predictor.batch.options import PROG, parse_arguments
from predictor.batch.parquet_output import ParquetOutput
from predictor.batch.run_state import RunState, describe_run
from predictor.batch.workers import Answer, NumberedFile, answer_files
from predictor.models import Models
from predictor.vcpus import count_vcpus
from trainer.artifact.decision import UnsupportedRequest
from trainer.console.errors import UserError
from trainer.imaging import ImageError
from trainer.imaging.formats import FILE_SUFFIXES
from trainer.parallel.processes import ProcessNotStarted

INTERRUPTED = 130
PROGRESS_SECONDS = 10.0


def main(arguments: list[str] | None = None) -> int:
    """Print or write one row for each file; return 1 when the model cannot be opened or a file has an error."""
    options = parse_arguments(sys.argv[1:] if arguments is None else arguments, __doc__ or "")
    try:
        return _run(options)
    except (UserError, UnsupportedRequest, ImageError, OSError, ProcessNotStarted) as error:
        print(f"{PROG}: {error}{_suggest_same_command(options, error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        note = "; the same command continues from here" if options.out and not options.runner else ""
        print(f"\ninterrupted{note}", file=sys.stderr)
        return INTERRUPTED


def _suggest_same_command(options: argparse.Namespace, error: Exception) -> str:
    is_temporary = isinstance(error, (OSError, ProcessNotStarted)) and not isinstance(error, FileNotFoundError)
    return "; the same command continues" if options.out and not options.runner and is_temporary else ""


def _run(options: argparse.Namespace) -> int:
    run_on_beam = _import_beam(options.runner) if options.runner else None
    check_paths(options.paths)
    named = _make_spec(options)
    spec = named.fetch()
    answerer = spec.open()
    print_question(named, answerer)
    if run_on_beam:
        return run_on_beam(named, answerer)
    files = list_files(options.paths, FILE_SUFFIXES | answerer.suffixes)
    first = next(files, None)
    if first is None:
        print(f"{PROG}: no image in these folders", file=sys.stderr)
        return 1
    names = itertools.chain([first], files)
    return (_write if options.out else _print)(spec, answerer, names)


def make_spec(*flags: str) -> AnswererSpec:
    """Make what ``predictor.batch.beam.AnswerFiles`` answers with, from flags such as ``--artifact``."""
    return _make_spec(parse_arguments(["-", "--format", "jsonl", *flags], __doc__ or ""))


def _make_spec(options: argparse.Namespace) -> AnswererSpec:
    return AnswererSpec(options, choose_artifacts(options), Models.compose, FileAnswerer.make)


def _import_beam(runner: str) -> Callable[[AnswererSpec, FileAnswerer], int]:
    """Return what answers on Beam. Raises ``UserError`` without it."""
    try:
        from predictor.batch.beam import run_command
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("apache_beam"):
            raise
        raise UserError(f"--runner {runner} needs Apache Beam: pip install 'countersign[beam]'") from None
    return run_command


def _print(spec: AnswererSpec, answerer: FileAnswerer, names: Iterator[str]) -> int:
    """Print the answers; return the exit status."""
    error_count = 0

    def count_errors(answers: Iterator[Answer]) -> Iterator[Answer]:
        nonlocal error_count
        for answer in answers:
            error_count += answer.has_error
            yield answer

    with contextlib.closing(answer_files(spec, answerer, enumerate(names, 1), spec.options.workers)) as generator:
        answers = count_errors(generator)
        try:
            if spec.options.format == "table":
                tables.print_table((answer.content for answer in answers), answerer.columns)
            else:
                if spec.options.format == "csv":
                    sys.stdout.write(tables.format_csv_header(answerer.columns))
                sys.stdout.writelines(answer.content for answer in answers)
            sys.stdout.flush()
        except BrokenPipeError:  # the reader, such as ``| head``, has closed the pipe
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python's flush at exit prints an error
            error_count = 0
    return 1 if error_count else 0


def _write(spec: AnswererSpec, answerer: FileAnswerer, names: Iterator[str]) -> int:
    """Write the answers to ``--out``, behind those that an interrupted run has left; return the exit status."""
    options, path = spec.options, Path(spec.options.out)
    output = _make_output(path, answerer)
    with RunState(path, describe_run(answerer)) as state:
        if options.overwrite:
            state.forget()
            output.delete()
        state.check(output.exists())
        written, names = output.resume(names)
        first = next(names, None)
        if first is not None:
            if written.rows:
                print(f"{path}: {written.rows:,} answers are there; continuing behind them", file=sys.stderr)
            written = _append(
                spec, answerer, output, enumerate(itertools.chain([first], names), written.rows + 1), written
            )
        else:
            output.close(is_complete=True)
    print(f"{path} is complete: {written.rows:,} files, {written.errors:,} with errors", file=sys.stderr)
    return 1 if written.errors else 0


def _make_output(path: Path, answerer: FileAnswerer) -> LineOutput | ParquetOutput:
    options = answerer.options
    if options.format == "parquet":
        return ParquetOutput(path, answerer.columns, options.rows_per_part)
    header = tables.format_csv_header(answerer.columns) if options.format == "csv" else ""
    return LineOutput(path, options.format, header)


def _append(
    spec: AnswererSpec,
    answerer: FileAnswerer,
    output: LineOutput | ParquetOutput,
    files: Iterator[NumberedFile],
    written: Written,
) -> Written:
    """Answer the files, by processes also if they are few: a file on which one is killed must not end the run."""
    is_complete, (rows, errors) = False, written
    started_at = shown_at = time.monotonic()
    generator = answer_files(spec, answerer, files, spec.options.workers or count_vcpus())
    try:
        with contextlib.closing(generator):
            for answer in generator:
                output.write([answer.content])
                rows, errors = rows + 1, errors + answer.has_error
                if time.monotonic() - shown_at >= PROGRESS_SECONDS:
                    shown_at = time.monotonic()
                    rate = (rows - written.rows) / (shown_at - started_at)
                    print(f"{rows:,} files, {rate:.0f} a second", file=sys.stderr)
        is_complete = True
    finally:
        output.close(is_complete)
    return Written(rows, errors)


def run() -> int:
    """Run ``python -m predictor.offline``, or ``countersign-predict``; return its exit status."""
    return main()


if __name__ == "__main__":
    raise SystemExit(run())
