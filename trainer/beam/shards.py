"""The shards of records on Beam: examples of all chunks meet in the shard that was planned for them.

Next: ``trainer/data/shard_plan.py`` plans, ``trainer/data/shards.py`` writes a file.
"""

import json
import zlib
from collections.abc import Iterable, Iterator

import apache_beam as beam
from apache_beam.metrics import Metrics

from trainer.beam.work_folder import WorkFolder
from trainer.console import quiet
from trainer.data import image_index
from trainer.data.shard_plan import PlannedImage, ShardPlan
from trainer.data.shards import format_shard_name, write_shard
from trainer.imaging import Imaging

PLANS = "plan"  # folder of the planned images of each chunk

Shard = tuple[str, int]  # split and number


def format_plan_name(chunk_number: int) -> str:
    """Return the name of the list of a chunk's planned images."""
    return f"{PLANS}/{chunk_number:05d}.json"


def write_plan(work: WorkFolder, chunk_number: int, plan: ShardPlan, finished: set[str]) -> bool:
    """Write the planned images of a chunk but those of ``finished`` shards; return whether there are any."""
    start, stop = (number * image_index.IMAGES_PER_CHUNK for number in (chunk_number, chunk_number + 1))
    images = plan.select(start, stop)
    planned = [image for image in images if format_shard_name(image.split, image.shard) not in finished]
    work.write(format_plan_name(chunk_number), json.dumps(planned).encode())
    return bool(planned)


def write_shards(
    chunk_numbers: beam.PCollection, index: WorkFolder, target: WorkFolder, imaging: Imaging
) -> beam.PCollection:
    """Write the shards of the planned images of chunks."""
    return (
        chunk_numbers
        | "spread chunks" >> beam.Reshuffle()
        | "serialise" >> beam.ParDo(SerialiseChunk(index, imaging))
        | "group by shard" >> beam.GroupByKey()
        | "write shards" >> beam.ParDo(WriteShard(target))
    )


class _QuietDoFn(beam.DoFn):
    """Imports TensorFlow without its messages, once in each worker."""

    def setup(self) -> None:
        with quiet.suppress_native_stderr():
            import tensorflow as tf

            tf.io.gfile.exists("")  # the first call prints messages as well


class SerialiseChunk(_QuietDoFn):
    """Chunk number to (shard, (image number, compressed example)) of its planned images: most pixels are paper."""

    def __init__(self, work: WorkFolder, imaging: Imaging):
        self.work, self.imaging = work, imaging

    def process(self, element: int) -> Iterator[tuple[Shard, tuple[int, bytes]]]:
        planned = [PlannedImage(*values) for values in json.loads(self.work.read(format_plan_name(element)))]
        images = image_index.parse_images(self.work.read(image_index.images_name(element)), self.imaging)
        for image in planned:
            example = image.serialise(images[image.number % image_index.IMAGES_PER_CHUNK])
            yield (image.split, image.shard), (image.number, zlib.compress(example, 1))


class WriteShard(_QuietDoFn):
    """(shard, compressed examples) to the name of the file that is written."""

    def __init__(self, work: WorkFolder):
        self.work = work
        self.written = Metrics.counter("countersign", "stored images")

    def process(self, element: tuple[Shard, Iterable[tuple[int, bytes]]]) -> Iterator[str]:
        (split, number), numbered = element
        examples = [zlib.decompress(example) for _, example in sorted(numbered)]
        with self.work.publish() as folder:
            write_shard(folder / format_shard_name(split, number), examples, split, number)
        self.written.inc(len(examples))
        yield format_shard_name(split, number)
