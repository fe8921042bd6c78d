"""What survives a kill: newest and best weights of a run, the optimizer, and the rows of the epochs they have seen.

Knows weights and numbers, not what they are of. Next: ``loop.py`` keeps and restores.
"""

import csv
from pathlib import Path

import tensorflow as tf

from trainer.console.errors import UserError
from trainer.console.messages import LOG


class OtherCheckpoints(UserError):
    """The checkpoint dir belongs to another run; the message says so."""


class State:
    """The state of one run; the best epoch is the one whose ``watched`` number is lowest."""

    def __init__(self, model, averaged, optimizer, folder: Path, log: Path):
        trained = [variable.value for variable in model.variables]  # dropout's random state among them
        weights = [variable.value for variable in averaged.variables]
        self._epoch = tf.Variable(0, dtype=tf.int64)
        self._lowest = tf.Variable(float("inf"), dtype=tf.float64)  # rounded, the same number could count as lower
        self._best_epoch = tf.Variable(0, dtype=tf.int64)
        everything = {"trained": trained, "weights": weights, "optimizer": [v.value for v in optimizer.variables]}
        counters = {"epoch": self._epoch, "lowest": self._lowest, "best_epoch": self._best_epoch}
        self._newest = tf.train.CheckpointManager(
            tf.train.Checkpoint(**everything, **counters), str(folder / "newest"), max_to_keep=1
        )
        self._best = tf.train.CheckpointManager(
            tf.train.Checkpoint(weights=weights), str(folder / "best"), max_to_keep=1
        )
        # The rows live beside the weights they belong to: a restarted job may keep nothing but its checkpoints.
        self._rows, self._log = folder / "history.csv", log
        self.history: list[dict[str, float]] = []

    def resume(self) -> int:
        """Restore the newest state; returns the number of epochs it has seen."""
        if self._newest.restore_or_initialize():
            self.history = [row for row in _read_rows(self._rows) if row["epoch"] <= int(self._epoch)]
            LOG.info(f"continuing after epoch {int(self._epoch)}: a checkpoint was found")
        return int(self._epoch)

    @property
    def best_epoch(self) -> int:
        """The epoch of the best weights, 0 before the first."""
        return int(self._best_epoch)

    def keep(self, row: dict[str, float], watched: float) -> None:
        """Best first, newest last: a kill in between repeats the epoch, which gives the same numbers."""
        self.history.append(row)
        if watched < float(self._lowest):
            self._lowest.assign(watched)
            self._best_epoch.assign(row["epoch"])
            self._best.save(row["epoch"])
        _write_rows(self._rows, self.history)
        self._epoch.assign(row["epoch"])
        self._newest.save(row["epoch"])
        _write_rows(self._log, self.history)

    def restore_best(self) -> int:
        """Put the best weights into the model; returns the epoch they come from."""
        if self._best.latest_checkpoint is None:
            raise OtherCheckpoints(
                "the best checkpoint is gone, the newest is there; delete the checkpoints to train again"
            )
        self._best.checkpoint.restore(self._best.latest_checkpoint).expect_partial()
        return self.best_epoch


def _read_rows(path: Path) -> list[dict[str, float]]:
    with path.open(newline="") as file:
        return [{k: int(v) if k == "epoch" else float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def _write_rows(path: Path, rows) -> None:
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    partial.replace(path)
