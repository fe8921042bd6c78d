"""Several machines that train one model: who this one is, what it may write, and how they begin and end together.

Vertex AI says it in ``TF_CONFIG``, which only jobs of several machines have. The primary works in the run's own places
and publishes; the others work in copies of their own, so that nothing is written twice, and write nothing that stays.
Knows places, not training. Next: ``loop.py`` trains under the strategy that is joined here.
"""

import contextlib
import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from trainer import storage
from trainer.console.errors import UserError
from trainer.console.messages import LOG
from trainer.console.progress import fetching
from trainer.settings.config import Config
from trainer.storage import Place

PRIMARY = ("chief", "master")


class BadCluster(UserError):
    """``TF_CONFIG`` is none, or of workers that cannot train together; the message says why."""


@dataclasses.dataclass(frozen=True)
class Role:
    """Who this machine is. ``strategy`` is None where it is alone."""

    primary: bool = True
    strategy: Any = None

    @property
    def replicas(self) -> int:
        """The devices that share a batch: those of all machines."""
        import tensorflow as tf

        if self.strategy is not None:
            return self.strategy.num_replicas_in_sync
        return max(1, len(tf.config.list_physical_devices("GPU")))

    @contextlib.contextmanager
    def share(self, wanted: Config) -> Iterator[Config]:
        """The settings with places that this worker may write to; all see the same state of the run.

        Raises ``BadCluster`` when there is nowhere to share a state.
        """
        if self.strategy is None:
            yield wanted
            return
        if not (wanted.output.job_dir or wanted.output.checkpoint_dir):
            raise BadCluster(
                "several workers need a --job-dir or --checkpoint-dir that all of them reach, such as gs://"
            )
        if self.primary:
            self.meet()  # the others have their copies: from here on the primary may write
            yield wanted
            self.meet()
            return
        with tempfile.TemporaryDirectory(prefix="countersign-") as folder, open(os.devnull, "w") as nowhere:
            own = dataclasses.replace(wanted, output=_copied(wanted, Path(folder)))
            self.meet()
            with contextlib.redirect_stdout(nowhere):  # the primary says it
                yield own
            self.meet()  # who leaves early is taken for lost, and ends the others

    def meet(self) -> None:
        """Wait until every worker has come here."""
        import tensorflow as tf

        @tf.function(autograph=False)
        def count():
            ones = self.strategy.run(lambda: tf.ones(()))
            return self.strategy.reduce(tf.distribute.ReduceOp.SUM, ones, axis=None)

        count().numpy()


def join(environment: Mapping[str, str] = os.environ) -> Role:
    """Meet the other workers, if the environment names any; before TensorFlow computes anything.

    Raises ``BadCluster``.
    """
    primary, workers = role(environment)
    if workers == 1:
        return Role()
    import tensorflow as tf

    LOG.info(f"one of {workers} workers, {'the primary' if primary else 'not the primary'}: waiting for the others")
    tf.get_logger().setLevel("ERROR")  # it warns of each gathering of answers, which is once an epoch
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    return Role(primary, strategy)


def role(environment: Mapping[str, str]) -> tuple[bool, int]:
    """Whether this machine is the primary, and how many there are.

    https://cloud.google.com/vertex-ai/docs/training/distributed-training: without a chief, worker 0 is it. Raises
    ``BadCluster``.
    """
    told = environment.get("TF_CONFIG")
    if not told:
        return True, 1
    try:
        found = json.loads(told)
        cluster, task = found.get("cluster", {}), found.get("task", {})
        kind, index = task.get("type", "chief"), int(task.get("index", 0))
        counts = {name: len(addresses) for name, addresses in cluster.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise BadCluster(f"TF_CONFIG is no cluster: {type(error).__name__}: {error}") from None
    strange = sorted(set(counts) - {*PRIMARY, "worker"})
    if strange:
        raise BadCluster(f"TF_CONFIG names {', '.join(strange)}: only a chief and workers train together here")
    chief = any(counts.get(name) for name in PRIMARY)
    return kind in PRIMARY or (not chief and index == 0), max(1, sum(counts.values()))


def _copied(wanted: Config, folder: Path) -> Any:
    """Output settings that point into a folder which holds what the given ones held."""
    output = wanted.output
    own: dict[str, Any] = {"tensorboard_dir": None, "experiment": "", "job_dir": str(folder / "job")}
    for name in ("job_dir", "model_dir", "checkpoint_dir"):
        given = getattr(output, name)
        if given:
            own[name] = str(_copy(given, folder / name))
    return dataclasses.replace(output, **own)


def _copy(given: str, folder: Path) -> Path:
    """A folder of the same name with what is at a path, which may be nothing."""
    copy = folder / (PurePosixPath(given.rstrip("/")).name or "run")
    if storage.is_remote(given):
        Place(copy, given.rstrip("/")).pull(fetching)
    elif storage.local(given).is_dir():
        shutil.copytree(storage.local(given), copy, ignore=shutil.ignore_patterns("lock", "*.partial"))
    return copy
