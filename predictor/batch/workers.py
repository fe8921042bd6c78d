"""Answer many files on all processors, in their order, with few of them in memory.

Few files are answered by threads of this process. More are answered by processes, because threads share the
interpreter's lock; a file on which a process is killed has an error in its row, and the others are answered. Next:
``trainer/parallel/processes.py`` runs the processes, ``answering.py`` answers a file.
"""

from __future__ import annotations

import collections
import concurrent.futures
import functools
import itertools
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from predictor.batch import tables
from predictor.batch.listing import InputFile, open_file
from predictor.batch.tables import make_error_row
from predictor.vcpus import count_vcpus
from trainer.artifact.decision import Locator
from trainer.parallel.processes import run_in_order

if TYPE_CHECKING:
    from predictor.batch.answering import FileAnswerer
    from predictor.batch.opening import AnswererSpec

# Below these numbers the start of processes takes longer than they save. Measured on two processors, where threads and
# processes are equally fast but for the start (tests/bench/offline.py); more threads wait more for the lock.
FEW_IMAGES = 512
FEW_DOCUMENTS = 32
FILES_PER_CALL = 8  # of a process; a document is large enough for a call of its own

NumberedFile = tuple[int, str]


class Answer(NamedTuple):
    """What is written for a file: a line, a record or, for a table, the row itself."""

    has_error: bool
    content: Any


class BatchAnswerer:
    """Answers files in this process, in the format of the options."""

    def __init__(self, answerer: FileAnswerer):
        self._answerer = answerer
        self._format = tables.FORMATTERS[answerer.options.format]

    def answer(self, number: int, file: InputFile) -> dict[str, Any]:
        """Answer a file as a row; that of a file on which this program fails has the error ``internal``.

        Raises ``OSError`` when crops or pictures cannot be written.
        """
        try:
            return self._answerer.answer(number, file)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - of any type: one file must not end the answers of all others
            traceback.print_exc()
            return make_error_row(str(file), "internal", f"a fault of this program: {type(error).__name__}")

    def format_answer(self, number: int, name: str) -> Answer:
        """Answer a file in the format of the options."""
        return self.format_row(self.answer(number, open_file(name)))

    def format_row(self, row: dict[str, Any]) -> Answer:
        """Return a row in the format of the options."""
        return Answer("error" in row, self._format(row, self._answerer.columns))


def answer_files(
    spec: AnswererSpec, answerer: FileAnswerer, files: Iterator[NumberedFile], workers: int | None
) -> Generator[Answer, None, None]:
    """Yield the answers to numbered files in their order; ``workers`` is the number of processes.

    Without it, few files are answered by threads, and others by as many processes as processors. Closing the iterator
    stops both. Raises what answering raises.
    """
    is_document = answerer.task == Locator.task
    first = list(itertools.islice(files, FEW_DOCUMENTS if is_document else FEW_IMAGES))
    is_all = len(first) < (FEW_DOCUMENTS if is_document else FEW_IMAGES)
    batch_answerer, count = BatchAnswerer(answerer), workers or count_vcpus()
    if workers is None and (is_all or count == 1):
        yield from _run_in_threads(batch_answerer.format_answer, itertools.chain(first, files), count)
        return
    files_per_call = 1 if is_document else max(1, min(FILES_PER_CALL, len(first) // (2 * count)))
    chunks = _divide(itertools.chain(first, files), files_per_call)
    answers = run_in_order(
        _answer_chunk,
        chunks,
        count,
        functools.partial(_open, spec),
        functools.partial(_answer_each, spec, batch_answerer),
    )
    try:
        yield from itertools.chain.from_iterable(answers)
    finally:
        answers.close()


def _run_in_threads(
    answer: Callable[[int, str], Answer], files: Iterable[NumberedFile], threads: int
) -> Iterator[Answer]:
    waiting: collections.deque[concurrent.futures.Future[Answer]] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        try:
            for number, name in files:
                waiting.append(pool.submit(answer, number, name))
                if len(waiting) >= 4 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _divide(files: Iterator[NumberedFile], size: int) -> Iterator[tuple[list[NumberedFile]]]:
    while chunk := list(itertools.islice(files, size)):
        yield (chunk,)


_opened: list[BatchAnswerer] = []  # that of this process


def _open(spec: AnswererSpec) -> None:
    """Open everything in a process, without the golden answers, which the command has replayed."""
    _opened[:] = [BatchAnswerer(spec.open(replay_golden=False))]


def _answer_chunk(files: list[NumberedFile]) -> list[Answer]:
    (answerer,) = _opened
    return [answerer.format_answer(number, name) for number, name in files]


def _answer_each(spec: AnswererSpec, answerer: BatchAnswerer, files: list[NumberedFile]) -> list[Answer]:
    """Answer files one by one in a new process, to find those on which it is killed."""
    calls = (([each],) for each in files)
    on_crash = functools.partial(_make_crash_row, answerer)
    answers = run_in_order(_answer_chunk, calls, 1, functools.partial(_open, spec), on_crash)
    return list(itertools.chain.from_iterable(answers))


def _make_crash_row(answerer: BatchAnswerer, files: list[NumberedFile]) -> list[Answer]:
    """Make the row of a file that was alone in its process when that was killed."""
    ((_, name),) = files
    message = "the process that answered this file was killed, such as for lack of memory"
    return [answerer.format_row(make_error_row(name, "crashed", message))]
