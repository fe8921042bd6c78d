"""Train one model on several machines: which worker this is, what it may write, and the barriers between workers.

Vertex AI describes the cluster in ``TF_CONFIG``, which only jobs of several machines have. The chief writes to the
paths of the run; the other workers write to temporary copies that are deleted. Independent of the training loop. Next:
``loop.py`` trains with the strategy that is made here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from trainer import storage
from trainer.console.errors import UserError
from trainer.console.messages import LOG
from trainer.console.progress import transfer_progress
from trainer.storage import Workdir

if TYPE_CHECKING:
    import tensorflow as tf

    from trainer.settings.config import Config
    from trainer.settings.sections import OutputSettings

CHIEF_TYPES = ("chief", "master")


class BadCluster(UserError):
    """``TF_CONFIG`` is invalid, or its workers cannot train together; the message says why."""


@dataclasses.dataclass(frozen=True)
class Worker:
    """The role of this machine. ``strategy`` is ``None`` when it is the only one."""

    is_chief: bool = True
    strategy: tf.distribute.Strategy | None = None

    @property
    def num_replicas(self) -> int:
        """The number of devices, on all machines, that share a batch."""
        import tensorflow as tf

        if self.strategy is not None:
            return self.strategy.num_replicas_in_sync
        return max(1, len(tf.config.list_physical_devices("GPU")))

    @contextlib.contextmanager
    def worker_view(self, config: Config) -> Iterator[Config]:
        """Yield ``config`` with output paths that this worker may write to; all workers begin with the same state.

        Raises ``BadCluster`` when no output path is shared by the workers.
        """
        if self.strategy is None:
            yield config
            return
        if not (config.output.job_dir or config.output.checkpoint_dir):
            raise BadCluster(
                "several workers need a --job-dir or --checkpoint-dir that all of them reach, such as gs://"
            )
        if self.is_chief:
            self.barrier()  # the others have made their copies: the chief may write from here on
            yield config
            self.barrier()
            return
        with tempfile.TemporaryDirectory(prefix="countersign-") as folder, open(os.devnull, "w") as null_device:
            worker_config = dataclasses.replace(config, output=_copy_outputs(config.output, Path(folder)))
            self.barrier()
            with contextlib.redirect_stdout(null_device):  # the chief prints the same messages
                yield worker_config
            self.barrier()  # a worker that leaves early counts as lost, which ends the others

    def barrier(self) -> None:
        """Block until every worker has called this."""
        import tensorflow as tf

        strategy = self.strategy
        assert strategy is not None  # noqa: S101 - a single machine has no barriers

        @tf.function(autograph=False)
        def count_replicas():
            ones = strategy.run(lambda: tf.ones(()))
            return strategy.reduce(tf.distribute.ReduceOp.SUM, ones, axis=None)

        count_replicas().numpy()


def join_cluster(environment: Mapping[str, str] = os.environ) -> Worker:
    """Connect to the other workers, if ``TF_CONFIG`` names any. Call it before TensorFlow computes anything.

    Raises ``BadCluster``.
    """
    is_chief, num_workers = parse_tf_config(environment)
    if num_workers == 1:
        return Worker()
    import tensorflow as tf

    LOG.info(f"one of {num_workers} workers, {'the chief' if is_chief else 'not the chief'}: waiting for the others")
    tf.get_logger().setLevel("ERROR")  # it warns about every gather, which is one an epoch
    return Worker(is_chief, tf.distribute.MultiWorkerMirroredStrategy())


def parse_tf_config(environment: Mapping[str, str]) -> tuple[bool, int]:
    """Return whether this machine is the chief, and the number of workers. Raises ``BadCluster``.

    In a cluster without a chief, worker 0 is the chief:
    https://cloud.google.com/vertex-ai/docs/training/distributed-training
    """
    text = environment.get("TF_CONFIG")
    if not text:
        return True, 1
    try:
        tf_config = json.loads(text)
        cluster, task = tf_config.get("cluster", {}), tf_config.get("task", {})
        task_type, index = task.get("type", "chief"), int(task.get("index", 0))
        counts = {name: len(addresses) for name, addresses in cluster.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise BadCluster(f"TF_CONFIG is not a valid cluster: {type(error).__name__}: {error}") from None
    unsupported = sorted(set(counts) - {*CHIEF_TYPES, "worker"})
    if unsupported:
        raise BadCluster(f"TF_CONFIG names {', '.join(unsupported)}: only a chief and workers can train together")
    has_chief = any(counts.get(name) for name in CHIEF_TYPES)
    return task_type in CHIEF_TYPES or (not has_chief and index == 0), max(1, sum(counts.values()))


def _copy_outputs(output: OutputSettings, folder: Path) -> OutputSettings:
    """Return settings whose paths are below ``folder``, with copies of what the original paths contain."""
    copies = {
        name: str(_copy_directory(path, folder / name))
        for name in ("job_dir", "model_dir", "checkpoint_dir")
        if (path := getattr(output, name))
    }
    paths: dict[str, Any] = {"job_dir": str(folder / "job"), **copies}
    return dataclasses.replace(output, tensorboard_dir=None, experiment="", **paths)


def _copy_directory(path: str, folder: Path) -> Path:
    """Copy a local or remote directory, which may not exist, into ``folder`` under its own name; return the copy."""
    copy = folder / (PurePosixPath(path.rstrip("/")).name or "run")
    if storage.is_remote(path):
        Workdir(copy, path.rstrip("/")).pull(transfer_progress)
    elif storage.get_local_path(path).is_dir():
        shutil.copytree(storage.get_local_path(path), copy, ignore=shutil.ignore_patterns("lock", "*.partial"))
    return copy
