"""Answers to files on Apache Beam, for a data lake: a ``ModelHandler`` of RunInference, a transform, and the command.

``files | AnswerFiles(make_spec("--artifact", "ready:same_writer", "--return-embedding"))`` gives the rows of
``predictor.offline`` as dictionaries. An element is a path, at ``gs://`` or one that all workers reach, or a pair of a
name and bytes. Rows depend on nothing else, so that a bundle may be run again. The only importer of Beam in
``predictor``: ``pip install 'countersign[beam]'``. Next: ``trainer/beam/options.py`` names the runners.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import ModelHandler, RunInference

from predictor.batch.listing import MemoryFile, list_files, open_file
from predictor.batch.options import PROG
from predictor.batch.parquet_output import make_schema
from predictor.batch.run_state import REMEDY, OutputError
from predictor.batch.workers import BatchAnswerer
from trainer.beam.options import make_options, name_job
from trainer.beam.running import NAMESPACE, run_pipeline
from trainer.beam.work_folder import WorkFolder
from trainer.imaging.formats import FILE_SUFFIXES

if TYPE_CHECKING:
    from predictor.batch.answering import FileAnswerer
    from predictor.batch.opening import AnswererSpec

MAX_BATCH_SIZE = 16  # an engine answers one image after the other: larger batches are no faster
PART = "part"  # begins the names of the files
ANSWERED, WITH_ERRORS = "files", "files with errors"

Element = str | tuple[str, bytes]


class AnswerHandler(ModelHandler[Element, Any, BatchAnswerer]):
    """Opens the artefacts once in each process, and answers elements with rows.

    ``is_formatted`` gives lines or records in the format of the options instead. A file that cannot be answered has an
    error in its row. Other keywords are those of ``ModelHandler``, such as ``max_batch_size``.
    """

    def __init__(self, spec: AnswererSpec, is_formatted: bool = False, **batching: Any):
        super().__init__(**{"max_batch_size": MAX_BATCH_SIZE, **batching})
        self._spec, self._is_formatted = _include_references(spec), is_formatted
        self._answered = Metrics.counter(NAMESPACE, ANSWERED)
        self._with_errors = Metrics.counter(NAMESPACE, WITH_ERRORS)

    def load_model(self) -> BatchAnswerer:
        """Open the artefacts, and replay their golden answers on this machine."""
        return BatchAnswerer(self._spec.open())

    def run_inference(
        self, batch: Sequence[Element], model: BatchAnswerer, inference_args: dict[str, Any] | None = None
    ) -> Iterator[Any]:
        """Yield a row for each element."""
        for element in batch:
            file = open_file(element) if isinstance(element, str) else MemoryFile(*element)
            row = model.answer(0, file)
            self._answered.inc()
            self._with_errors.inc("error" in row)
            yield model.format_row(row).content if self._is_formatted else row

    def get_num_bytes(self, batch: Sequence[Element]) -> int:
        """Return the size of the elements."""
        return sum(len(element) if isinstance(element, str) else len(element[1]) for element in batch)

    def get_metrics_namespace(self) -> str:
        """Return the namespace of what RunInference measures."""
        return f"{NAMESPACE} inference"


class AnswerFiles(beam.PTransform):
    """Elements to rows; keywords are those of ``AnswerHandler``, ``offline.make_spec`` makes a ``spec`` of flags."""

    def __init__(self, spec: AnswererSpec, **keywords: Any):
        super().__init__()
        self._handler = AnswerHandler(spec, **keywords)

    def expand(self, elements: beam.PCollection) -> beam.PCollection:
        """Answer the elements in batches."""
        return elements | RunInference(self._handler)


def run_command(spec: AnswererSpec, answerer: FileAnswerer) -> int:
    """Answer the files of the options into files below ``--out``; return the exit status.

    ``answerer`` was opened here, so that what is wrong with the options is said before a job begins. Raises
    ``UserError``.
    """
    options = spec.options
    out = options.out.rstrip("/")
    beam_options = make_options(options.runner, options.beam_arguments, f"{out}.work", flag="--out")
    _prepare_folder(out, options.overwrite)
    name_job(beam_options, "answers", out)
    pipeline = beam.Pipeline(options=beam_options)
    suffixes = FILE_SUFFIXES | answerer.suffixes
    answers = (
        pipeline
        | "paths" >> beam.Create(options.paths)
        | "list files" >> beam.FlatMap(_list_files, suffixes)
        | "spread files" >> beam.Reshuffle()
        | "answer" >> AnswerFiles(spec, is_formatted=True)
    )
    _write(answers, f"{out}/{PART}", answerer)
    counts = run_pipeline(pipeline, "answers", "the same command with --overwrite answers again")
    if not counts.get(ANSWERED):
        print(f"{PROG}: no image in these folders", file=sys.stderr)
        return 1
    errors = counts.get(WITH_ERRORS, 0)
    print(f"{out} is complete: {counts[ANSWERED]:,} files, {errors:,} with errors", file=sys.stderr)
    return 1 if errors else 0


def _list_files(path: str, suffixes: frozenset[str]) -> Iterable[str]:
    return list_files([path], suffixes)


def _write(answers: beam.PCollection, prefix: str, answerer: FileAnswerer) -> None:
    if answerer.options.format == "parquet":
        schema = make_schema(answerer.columns)
        _ = answers | "write" >> beam.io.WriteToParquet(prefix, schema, file_name_suffix=".parquet")
    else:
        lines = answers | "lines" >> beam.Map(str.rstrip, "\n")
        _ = lines | "write" >> beam.io.WriteToText(prefix, file_name_suffix=".jsonl")


def _prepare_folder(out: str, overwrite: bool) -> None:
    """Delete the answers of an earlier run if they are to be replaced. Raises ``OutputError`` if they are not."""
    folder = WorkFolder(out)
    parts = [name for name in folder.list() if name.startswith(PART)]
    if parts and not overwrite:
        raise OutputError(f"{out!r} has answers; {REMEDY}")
    for name in parts:
        folder.delete(name)


def _include_references(spec: AnswererSpec) -> AnswererSpec:
    """Return the same with the bytes of the references, which workers on other machines cannot read."""
    references = [MemoryFile(str(path), path.read_bytes()) for path in spec.options.reference]
    return dataclasses.replace(spec, options=argparse.Namespace(**{**vars(spec.options), "reference": references}))
