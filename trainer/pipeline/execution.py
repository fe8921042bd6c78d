"""The steps of preparation that read every image, which run in this process or on the workers of Apache Beam.

Their results are the same to the byte. Next: ``preparation.py``, which calls the steps and runs them locally;
``trainer/beam/execution.py``, which runs them on many machines.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

    from trainer.audit.duplicates import Pair
    from trainer.corpora import Sample
    from trainer.data.image_index import ImageIndex
    from trainer.data.shard_plan import ShardPlan
    from trainer.data.sources import DataSource
    from trainer.imaging import Imaging


class Execution(Protocol):
    """Runs the steps that read every image."""

    def fetch_source(self, argument: str) -> DataSource:
        """Make a data source readable."""

    def build_index(self, samples: list[Sample], imaging: Imaging, folder: Path) -> ImageIndex:
        """Inspect every image, or continue an interrupted index of the same samples and imaging in the folder."""

    def find_near_duplicates(self, index: ImageIndex, numbers: np.ndarray) -> list[Pair]:
        """Return the near duplicates among the images with these numbers, ``int64 [n]`` in ascending order."""

    def write_shards(self, index: ImageIndex, plan: ShardPlan, folder: Path) -> None:
        """Write all shards of a plan into a folder."""

    def delete_index(self, index: ImageIndex) -> None:
        """Delete an index that is not needed any more."""
