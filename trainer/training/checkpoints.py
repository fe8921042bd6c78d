"""Checkpoints of a run: its newest state, its best weights, and the metrics of the epochs behind them.

Independent of the meaning of weights and metrics. Next: ``loop.py`` saves and restores them.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import keras
import tensorflow as tf

from trainer.console.errors import UserError
from trainer.console.messages import LOG


class CheckpointConflict(UserError):
    """The checkpoint directory does not fit this run; the message says why."""


class TrainState:
    """The checkpointed state of one run.

    The best epoch is the last one whose monitored metric is at most ``tolerance`` above the lowest, as a share of it.
    """

    def __init__(
        self,
        model: keras.Model,
        ema_model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        checkpoint_dir: Path,
        history_file: Path,
        tolerance: float = 0.0,
    ):
        """Track the variables of both models and of the optimizer; ``history_file`` is a CSV copy of the history."""
        # The keys below are names inside the checkpoints: runs of earlier releases resume by them.
        ema_variables = [variable.value for variable in ema_model.variables]
        variables = {
            "trained": [variable.value for variable in model.variables],  # the random state of dropout among them
            "weights": ema_variables,
            "optimizer": [variable.value for variable in optimizer.variables],
        }
        self._epoch = tf.Variable(0, dtype=tf.int64)
        self._lowest = tf.Variable(float("inf"), dtype=tf.float64)  # in float32 an equal metric could count as lower
        self._best_epoch = tf.Variable(0, dtype=tf.int64)
        counters = {"epoch": self._epoch, "lowest": self._lowest, "best_epoch": self._best_epoch}
        self._newest = tf.train.CheckpointManager(
            tf.train.Checkpoint(**variables, **counters), str(checkpoint_dir / "newest"), max_to_keep=1
        )
        self._best = tf.train.CheckpointManager(
            tf.train.Checkpoint(weights=ema_variables), str(checkpoint_dir / "best"), max_to_keep=1
        )
        # The history lies beside the weights it belongs to: a restarted job may keep nothing but its checkpoints.
        self._history_file, self._history_copy = checkpoint_dir / "history.csv", history_file
        self.history: list[dict[str, float]] = []
        self._tolerance = tolerance

    def resume(self) -> int:
        """Restore the newest state; return the number of epochs trained so far."""
        if self._newest.restore_or_initialize():
            self.history = [row for row in _read_history(self._history_file) if row["epoch"] <= int(self._epoch)]
            LOG.info(f"continuing after epoch {int(self._epoch)}: a checkpoint was found")
        return int(self._epoch)

    @property
    def best_epoch(self) -> int:
        """The epoch of the best weights, 0 before the first."""
        return int(self._best_epoch)

    def save(self, row: dict[str, float], monitored: float) -> None:
        """Save the state after the epoch ``row["epoch"]``, whose monitored metric is ``monitored``.

        The best weights first and the newest state last: a kill in between repeats the epoch, with the same result.
        """
        self.history.append(row)
        lowest = float(self._lowest)
        if monitored < lowest or (self._tolerance and monitored <= lowest * (1 + self._tolerance)):
            self._lowest.assign(min(lowest, monitored))
            self._best_epoch.assign(row["epoch"])
            self._best.save(row["epoch"])
        _write_history(self._history_file, self.history)
        self._epoch.assign(row["epoch"])
        self._newest.save(row["epoch"])
        _write_history(self._history_copy, self.history)

    def restore_best(self) -> int:
        """Load the best weights into ``ema_model``; return their epoch. Raises ``CheckpointConflict``."""
        if self._best.latest_checkpoint is None:
            raise CheckpointConflict(
                "the checkpoint of the best epoch is missing, that of the newest exists; delete the checkpoints to "
                "train again"
            )
        self._best.checkpoint.restore(self._best.latest_checkpoint).expect_partial()
        return self.best_epoch


def _read_history(path: Path) -> list[dict[str, float]]:
    with path.open(newline="") as file:
        return [
            {name: int(value) if name == "epoch" else float(value) for name, value in row.items()}
            for row in csv.DictReader(file)
        ]


def _write_history(path: Path, rows: Sequence[dict[str, float]]) -> None:
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    partial.replace(path)
