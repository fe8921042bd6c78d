"""The image index on Beam: each worker reads the images of a chunk and writes the files of the chunk.

Next: ``trainer/data/image_index.py`` says what is in them.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
from apache_beam.metrics import Metrics

from trainer import storage
from trainer.beam.work_folder import WorkFolder
from trainer.data import image_index
from trainer.imaging import Imaging
from trainer.storage import remote_files
from trainer.storage.listing import FileStatus, RemoteFile

PATHS = "paths"  # folder of the list of paths of each chunk


def format_paths_name(chunk_number: int) -> str:
    """Return the name of the list of a chunk's image files."""
    return f"{PATHS}/{chunk_number:05d}.json"


def write_paths(work: WorkFolder, chunk_number: int, files: list[Path | RemoteFile]) -> None:
    """Write the list of a chunk's image files, for the worker that reads them."""
    work.write(format_paths_name(chunk_number), json.dumps([str(file.resolve()) for file in files]).encode())


def _make_file(path: str) -> Path | RemoteFile:
    if storage.is_remote(path):
        return RemoteFile(path, FileStatus(0, 0), remote_files.read_bytes)
    return storage.get_local_path(path)


class IndexChunk(beam.DoFn):
    """Chunk number to the number of its rejected images; its files are written to the index."""

    def __init__(self, work: WorkFolder, imaging: Imaging):
        self.work, self.imaging = work, imaging
        self.images = Metrics.counter("countersign", "images")
        self.rejected = Metrics.counter("countersign", "rejected images")

    def process(self, element: int) -> Iterator[int]:
        files = map(_make_file, json.loads(self.work.read(format_paths_name(element))))
        inspected = list(image_index.inspect_in_order(files, self.imaging))
        with self.work.publish(last=image_index.properties_name(element)) as folder:
            image_index.write_chunk(folder, element, inspected, self.imaging)
        rejected = sum(image is None for image, _ in inspected)
        self.images.inc(len(inspected))
        self.rejected.inc(rejected)
        yield rejected
