"""Near duplicates on Beam: descriptors meet in the leaves of the trees, and the images of candidates are compared.

Only descriptors, and the images of candidates, move between workers. Next: ``trainer/data/blocking.py`` decides which
images are compared, ``trainer/data/near_duplicates.py`` compares them.
"""

import json
import zlib
from collections.abc import Iterable, Iterator

import apache_beam as beam
import numpy as np
from apache_beam.metrics import Metrics

from trainer.beam.work_folder import WorkFolder
from trainer.data import image_index, near_duplicates
from trainer.data.blocking import Forest, Neighbours, compare_block
from trainer.data.image_index import COMPARISON_IMAGING
from trainer.imaging import Imaging

SELECTION = "selected"  # a bit for each image: whether it is compared
CHUNKS_PER_FILE = 64  # of the images whose pairs are in one file

Leaf = tuple[int, int]  # tree and leaf
Rows = tuple[bytes, bytes]  # numbers ``int64`` of images and their descriptors ``int8``
Pair = tuple[int, int]


def write_selection(work: WorkFolder, name: str, numbers: np.ndarray, count: int) -> None:
    """Write which of ``count`` images are compared."""
    is_selected = np.zeros(count, bool)
    is_selected[numbers] = True
    work.write(f"{name}/{SELECTION}", np.packbits(is_selected).tobytes())


def find_pairs(
    chunk_numbers: beam.PCollection, work: WorkFolder, name: str, forest: Forest, imaging: Imaging
) -> beam.PCollection:
    """Find the near duplicates among the selected images of chunks, and write them to files below ``name``."""
    pairs = (
        chunk_numbers
        | "spread chunks" >> beam.Reshuffle()
        | "find leaves" >> beam.ParDo(FindLeaves(work, name, forest))
        | "group leaves" >> beam.GroupByKey()
        | "compare descriptors" >> beam.ParDo(CompareLeaf(forest))
        | "group neighbours" >> beam.GroupByKey()
        | "keep nearest" >> beam.FlatMap(list_candidates)
        | "each pair once" >> beam.Distinct()
    )
    return (
        pairs
        | "by chunk" >> beam.FlatMap(request_images)
        | "group by chunk" >> beam.GroupByKey()
        | "read images" >> beam.ParDo(ReadComparisonImages(work, imaging))
        | "group by pair" >> beam.GroupByKey()
        | "align" >> beam.ParDo(ConfirmPair())
        | "by file" >> beam.Map(lambda pair: (pair[0] // (image_index.IMAGES_PER_CHUNK * CHUNKS_PER_FILE), pair))
        | "group by file" >> beam.GroupByKey()
        | "write pairs" >> beam.Map(write_pairs, work, name)
    )


class FindLeaves(beam.DoFn):
    """Chunk number to (leaf, rows) of its selected images, for each tree."""

    def __init__(self, work: WorkFolder, name: str, forest: Forest):
        self.work, self.name, self.forest = work, name, forest

    def process(self, element: int) -> Iterator[tuple[Leaf, Rows]]:
        first = element * image_index.IMAGES_PER_CHUNK  # whole bytes, because a chunk has a multiple of eight images
        stop = (first + image_index.IMAGES_PER_CHUNK) // 8
        bits = self.work.read(f"{self.name}/{SELECTION}", first // 8, stop)
        offsets = np.flatnonzero(np.unpackbits(np.frombuffer(bits, np.uint8)))
        data = self.work.read(image_index.descriptors_name(element))
        descriptors = image_index.parse_descriptors(data)[offsets]
        for tree, leaves in enumerate(self.forest.find_leaves(descriptors).T):
            for leaf in np.unique(leaves).tolist():
                rows = leaves == leaf
                yield (tree, leaf), ((offsets[rows] + first).tobytes(), descriptors[rows].tobytes())


class CompareLeaf(beam.DoFn):
    """(leaf, rows) to (image, (neighbour, cosine)) of the nearest images in each block of the leaf."""

    def __init__(self, forest: Forest):
        self.forest = forest
        self.compared = Metrics.distribution("countersign", "images of a block")

    def process(self, element: tuple[Leaf, Iterable[Rows]]) -> Iterator[tuple[int, tuple[int, float]]]:
        (tree, _), parts = element
        pairs = [*parts]
        numbers = np.frombuffer(b"".join(part for part, _ in pairs), np.int64)
        descriptors = np.frombuffer(b"".join(part for _, part in pairs), np.int8).reshape(len(numbers), -1)
        order = np.argsort(numbers)
        for rows in self.forest.divide_leaf(tree, descriptors[order]):
            block = order[rows]
            self.compared.update(len(block))
            nearest = compare_block(numbers[block], descriptors[block])
            for image, neighbour, cosine in zip(*(column.tolist() for column in nearest), strict=True):
                yield image, (neighbour, cosine)


def list_candidates(element: tuple[int, Iterable[tuple[int, float]]]) -> list[Pair]:
    """List the pairs of an image with the nearest of its neighbours in all leaves."""
    image, neighbours = element
    numbers, cosines = (np.array(column) for column in zip(*neighbours, strict=True))
    return Neighbours(np.full(len(numbers), image), numbers, cosines).keep_nearest().list_pairs()


def request_images(pair: Pair) -> list[tuple[int, tuple[int, Pair]]]:
    """Return (chunk number, request) for both images of a pair."""
    return [(number // image_index.IMAGES_PER_CHUNK, (number, pair)) for number in pair]


class ReadComparisonImages(beam.DoFn):
    """(chunk number, requests) to (pair, (number, compressed image)) of each request."""

    def __init__(self, work: WorkFolder, imaging: Imaging):
        self.work, self.imaging = work, imaging

    def process(self, element: tuple[int, Iterable[tuple[int, Pair]]]) -> Iterator[tuple[Pair, tuple[int, bytes]]]:
        chunk_number, requests = element
        data = self.work.read(image_index.comparison_images_name(chunk_number, self.imaging))
        images = image_index.parse_images(data, COMPARISON_IMAGING)
        for number, pair in requests:
            yield pair, (number, zlib.compress(images[number % image_index.IMAGES_PER_CHUNK], 1))


class ConfirmPair(beam.DoFn):
    """(pair, images) to (i, j, correlation) of the pairs that are near duplicates."""

    def __init__(self) -> None:
        self.candidates = Metrics.counter("countersign", "candidates")
        self.confirmed = Metrics.counter("countersign", "near duplicates")

    def process(self, element: tuple[Pair, Iterable[tuple[int, bytes]]]) -> Iterator[tuple[int, int, float]]:
        pair, packed = element
        shape = COMPARISON_IMAGING.height, COMPARISON_IMAGING.width
        images = {number: np.frombuffer(zlib.decompress(data), np.uint8).reshape(shape) for number, data in packed}
        correlation = near_duplicates.align_and_correlate(*(images[number] for number in pair))
        self.candidates.inc()
        if correlation >= near_duplicates.MIN_CORRELATION:
            self.confirmed.inc()
            yield (*pair, correlation)


def write_pairs(element: tuple[int, Iterable[tuple[int, int, float]]], work: WorkFolder, name: str) -> str:
    """Write the pairs of one file; return its name."""
    number, pairs = element
    file = f"{name}/pairs-{number:05d}.json"
    work.write(file, json.dumps(sorted(pairs)).encode())
    return file


def read_pairs(work: WorkFolder, name: str) -> list[tuple[int, int, float]]:
    """Read the pairs of all files."""
    files = sorted(file for file in work.list(name) if file.endswith(".json"))
    return [(i, j, correlation) for file in files for i, j, correlation in json.loads(work.read(file))]
