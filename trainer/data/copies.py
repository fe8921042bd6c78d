"""Shards of copies of signatures, beside the records: what their writers, and what forgers could have written.

Each original gives itself inked again, genuine-like and forgery-like copies, which are one writer of the shards. The
originals are genuine training images, and images of ``--copies-dir``. NumPy in the processes, no TensorFlow. Next:
``trainer/samples/copying.py`` makes the copies; ``batches.py`` draws batches from them.
"""

import collections
import dataclasses
import hashlib
import itertools
import json
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path

import numpy as np

from trainer.console.errors import UserError
from trainer.console.messages import LOG
from trainer.console.progress import Progress
from trainer.corpora import Sample
from trainer.data import records
from trainer.data.files import compute_files_digest
from trainer.data.records import Records
from trainer.data.shards import ShardWriter, read_shards, serialise
from trainer.imaging import ImageError, Imaging, canonicalise, draw_ink
from trainer.parallel.processes import run_in_order
from trainer.samples import copying
from trainer.storage.listing import RemoteFile

FOLDER = "copies"  # in the folder of the records
MAX_ORIGINALS = 2000  # of the training images, and as many of --copies-dir
CHUNK = 8  # originals that a process copies at a time
LABELS = ("genuine", "forged")
LABEL_NUMBERS = [0] * (1 + copying.GENUINE_COPIES) + [1] * copying.FORGED_COPIES  # of the images of an original


class TooFewCopies(UserError):
    """Fewer than two originals could be traced; the message says how many there were."""


@dataclasses.dataclass(frozen=True)
class Original:
    """What is copied: a canonical image ``uint8 [H, W, 1]`` or the path of a file, and the number of its corpus.

    ``number`` is its position among all originals, which with the seed determines the copies.
    """

    number: int
    source: np.ndarray | Path | RemoteFile
    corpus_index: int


def prepare_copies(prepared: Records, samples: list[Sample], imaging: Imaging, seed: int) -> Records:
    """Write copies of the training images and of ``samples`` beside the records, or read those that are there.

    All are in the split train; the folder is complete or absent. Equal arguments give equal shards. Raises
    ``RecordsChanged`` for copies of other data or settings, and ``TooFewCopies``.
    """
    folder = prepared.folder / FOLDER
    digest = _compute_digest(prepared, samples, seed)
    if existing := records.read_existing(folder, digest, imaging):
        return existing
    rng = np.random.default_rng(seed)
    canvas = imaging.height, imaging.width
    rows, writers, corpora = _list_genuine(prepared, canvas)
    drawn = {rows[position] for position in draw_originals(writers, MAX_ORIGINALS, rng)}
    drawn_samples = [samples[number] for number in draw_originals([s.split_unit for s in samples], MAX_ORIGINALS, rng)]

    if len(drawn_samples) < len(samples):
        LOG.info(f"  copies: {len(drawn_samples)} of {len(samples)} images of --copies-dir are drawn, over all writers")

    def iterate_originals() -> Iterator[Original]:
        numbers = itertools.count()
        for row, stored in enumerate(read_shards(prepared.shard_paths("train"), canvas)):
            if row in drawn:
                yield Original(next(numbers), stored.image, stored.corpus_index)
        for sample in drawn_samples:
            yield Original(next(numbers), sample.path, max(corpora, default=-1) + 1)

    with records.replace_folder(folder) as partial:
        count = len(drawn) + len(drawn_samples)
        shards, copied = _write_shards(partial, iterate_originals(), count, imaging, seed)
        if copied < 2:
            remedy = f"give --copies-share 0{' and leave out --copies-dir' if samples else ''}"
            raise TooFewCopies(
                f"{copied} of {count} images could be traced, and copies of two at least are needed; {remedy} to train "
                "without copies"
            )
        numbers_of_labels = np.bincount(LABEL_NUMBERS).tolist()
        counts = {label: copied * number for label, number in zip(LABELS, numbers_of_labels, strict=True)}
        fingerprint = imaging.fingerprint()
        records.write_manifest(Records(partial, LABELS, {"train": shards}, {"train": counts}, [], fingerprint, digest))
    left_out = f"; {count - copied} could not be traced" if copied < count else ""
    LOG.info(f"  copies: {copied * len(LABEL_NUMBERS)} of {copied} originals{left_out}")
    return records.read(folder)


def _list_genuine(prepared: Records, canvas: tuple[int, int]) -> tuple[list[int], list[int], list[int]]:
    """List row, writer and corpus number of every genuine training image."""
    stored = enumerate(read_shards(prepared.shard_paths("train"), canvas))
    genuine = [(row, image.writer, image.corpus_index) for row, image in stored if image.label == 0]
    rows, writers, corpora = zip(*genuine, strict=True) if genuine else ((), (), ())
    return list(rows), list(writers), list(corpora)


def draw_originals(writers: Sequence[Hashable], count: int, rng: np.random.Generator) -> list[int]:
    """Draw at most ``count`` positions at random, sorted; none of a writer again before all writers had as many."""
    order = rng.permutation(len(writers)).tolist()
    drawn_before: dict[Hashable, int] = collections.defaultdict(int)
    rounds = []
    for position in order:
        rounds.append((drawn_before[writers[position]], position))
        drawn_before[writers[position]] += 1
    rounds.sort(key=lambda each: each[0])  # a stable sort: the order within a round is random
    return sorted(position for _, position in rounds[:count])


def _write_shards(
    folder: Path, originals: Iterator[Original], count: int, imaging: Imaging, seed: int
) -> tuple[list[str], int]:
    """Copy ``count`` originals into shards of even sizes; return the shards and the number that could be traced."""
    size = len(LABEL_NUMBERS)
    writers = np.repeat(np.arange(count), size)
    writer = ShardWriter("train", folder, writers % max(1, -(-count * size // records.IMAGES_PER_SHARD)))
    copied = 0
    chunks = ((chunk, imaging, seed) for chunk in iter(lambda: list(itertools.islice(originals, CHUNK)), []))
    with Progress("copying", count, unit="originals") as progress:
        done = progress.track(itertools.chain.from_iterable(run_in_order(copy_originals, chunks)))
        for images, corpus_index in done:
            if images is not None:
                for image, label in zip(images, LABEL_NUMBERS, strict=True):
                    writer.write(serialise(image, label, copied, corpus_index))
                copied += 1
    writer.close()
    return writer.names, copied


def copy_originals(originals: list[Original], imaging: Imaging, seed: int) -> list[tuple[np.ndarray | None, int]]:
    """Copy originals: ``uint8 [11, H, W, 1]``, or ``None`` for what has no ink or no lines, and the corpus number."""
    return [
        (_copy(original.source, imaging, np.random.default_rng([seed, original.number])), original.corpus_index)
        for original in originals
    ]


def _copy(source: np.ndarray | Path | RemoteFile, imaging: Imaging, rng: np.random.Generator) -> np.ndarray | None:
    try:
        image = source if isinstance(source, np.ndarray) else canonicalise(source.read_bytes(), imaging).image
    except (ImageError, OSError):
        return None
    copied = copying.make_copies(image, imaging.working_side, rng)
    return None if copied is None else np.stack([draw_ink(ink, imaging) for ink in copied])


def _compute_digest(prepared: Records, samples: list[Sample], seed: int) -> str:
    """Compute a digest of all that determines the copies: the data, and how originals are drawn and copied."""
    deviations = [dataclasses.asdict(deviation) for deviation in (copying.GENUINE, copying.FORGED)]
    settings = [prepared.data_digest, compute_files_digest(samples), seed, MAX_ORIGINALS, LABEL_NUMBERS, deviations]
    return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]
