"""Run the steps of preparation that read every image on Beam; the driver only plans, and reads small results.

Next: ``indexing.py``, ``duplicates.py`` and ``shards.py`` are the pipelines, ``options.py`` names the runners.
"""

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import apache_beam as beam
import numpy as np
from apache_beam.options.pipeline_options import PipelineOptions

from trainer.beam import duplicates, indexing, shards
from trainer.beam.options import name_job
from trainer.beam.running import run_pipeline
from trainer.beam.work_folder import WorkFolder
from trainer.console.messages import LOG
from trainer.corpora import Sample
from trainer.data import blocking, image_index, sources
from trainer.data.image_index import ImageIndex
from trainer.data.shard_plan import ShardPlan
from trainer.data.sources import DataSource
from trainer.imaging import Imaging

FINISHED = "finished"  # file of a search whose pairs are complete


class BeamExecution:
    """Runs each step as a pipeline with the same options.

    Workers share the files of a job dir on Cloud Storage, ``remote_job_dir``, or else those of the local folders.
    """

    def __init__(self, options: PipelineOptions, remote_job_dir: str = ""):
        self._options, self._remote_job_dir = options, remote_job_dir.rstrip("/")

    def fetch_source(self, argument: str) -> DataSource:
        """Make a data source readable: what workers read on Cloud Storage is listed, not downloaded."""
        return sources.list_source(argument) if self._remote_job_dir else sources.fetch_source(argument)

    def build_index(self, samples: list[Sample], imaging: Imaging, folder: Path) -> ImageIndex:
        """Inspect every image, or continue an interrupted index of the same samples and imaging in the folder."""
        missing = image_index.start_image_index(samples, imaging, folder)
        work = self._get_work_folder(folder)
        if work.is_remote:
            missing = _continue_remote(work, folder, _count_chunks(samples))
        for number in missing:
            files = [sample.path for sample in image_index.select_chunk(samples, number)]
            indexing.write_paths(work, number, files)
        self._run("index", missing, lambda numbers: numbers | beam.ParDo(indexing.IndexChunk(work, imaging)))
        for number in range(_count_chunks(samples)):
            work.fetch(image_index.properties_name(number), folder / image_index.properties_name(number))
        return image_index.read_image_index(samples, imaging, folder)

    def find_near_duplicates(self, index: ImageIndex, numbers: np.ndarray) -> list[tuple[int, int, float]]:
        """Return the near duplicates among the images with these numbers, ``int64 [n]`` in ascending order."""
        work = self._get_work_folder(index.folder)
        name = f"near-{hashlib.sha256(numbers.tobytes()).hexdigest()[:16]}"
        if f"{name}/{FINISHED}" not in work.list(name):
            sample = numbers[blocking.choose_sample(len(numbers))]
            for number in np.unique(sample // image_index.IMAGES_PER_CHUNK).tolist():
                work.fetch(image_index.descriptors_name(number), index.folder / image_index.descriptors_name(number))
            forest = blocking.grow_forest(index.read_descriptors(sample), len(numbers))
            duplicates.write_selection(work, name, numbers, len(index.samples))
            chunk_numbers = np.unique(numbers // image_index.IMAGES_PER_CHUNK).tolist()
            self._run(
                "near duplicates",
                chunk_numbers,
                lambda chunks: duplicates.find_pairs(chunks, work, name, forest, index.imaging),
            )
            work.write(f"{name}/{FINISHED}", b"")
        return duplicates.read_pairs(work, name)

    def write_shards(self, index: ImageIndex, plan: ShardPlan, folder: Path) -> None:
        """Write all shards of a plan into a folder; those that an interrupted call has finished are not made again."""
        work = self._get_work_folder(index.folder)
        target = WorkFolder(f"{work.path}/shards-{plan.digest}")
        finished = target.list()
        chunks = range(_count_chunks(index.samples))
        chunk_numbers = [number for number in chunks if shards.write_plan(work, number, plan, finished)]
        self._run("records", chunk_numbers, lambda chunks: shards.write_shards(chunks, work, target, index.imaging))
        for name in (name for split in plan.splits for name in plan.list_shards(split)):
            if target.is_remote:
                target.fetch(name, folder / name)
            else:
                os.replace(Path(target.path) / name, folder / name)

    def delete_index(self, index: ImageIndex) -> None:
        """Delete an index, and all other files of the pipelines."""
        self._get_work_folder(index.folder).clear()
        index.delete()

    def _get_work_folder(self, folder: Path) -> WorkFolder:
        """Return what workers share: a folder of the job dir on Cloud Storage, or the local folder."""
        return WorkFolder(f"{self._remote_job_dir}/{folder.name}" if self._remote_job_dir else str(folder.resolve()))

    def _run(
        self, title: str, chunk_numbers: Iterable[int], build: Callable[[beam.PCollection], beam.PCollection]
    ) -> None:
        """Run a pipeline over chunks to its end. Raises ``PipelineFailed``."""
        chunk_numbers = [*chunk_numbers]
        if not chunk_numbers:
            return
        name_job(self._options, title, self._remote_job_dir)
        pipeline = beam.Pipeline(options=self._options)
        build(pipeline | "chunks" >> beam.Create(chunk_numbers))
        for name, count in run_pipeline(pipeline, title, "the same command continues it").items():
            LOG.info(f"  {name}: {count:,}")


def _count_chunks(samples: list[Sample]) -> int:
    return -(-len(samples) // image_index.IMAGES_PER_CHUNK)


def _continue_remote(work: WorkFolder, folder: Path, chunk_count: int) -> list[int]:
    """Return the missing chunks of the index on Cloud Storage; one of other samples or imaging is deleted."""
    identity, names = (folder / image_index.INDEX_FILE).read_bytes(), work.list()
    if image_index.INDEX_FILE not in names or work.read(image_index.INDEX_FILE) != identity:
        work.clear()
        work.write(image_index.INDEX_FILE, identity)
        names = set()
    return [number for number in range(chunk_count) if image_index.properties_name(number) not in names]
