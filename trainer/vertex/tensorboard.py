"""Training curves as TensorBoard event files, without the package tensorboard.

TensorFlow no longer installs it, and ``keras.callbacks.TensorBoard`` raises without it; the event format is that of
TensorFlow. Vertex AI shows the files if a job names a Tensorboard instance.
Next: ``trainer/pipeline/train.py`` adds the callback.
"""

from collections.abc import Mapping
from pathlib import Path

import keras
import tensorflow as tf


class TensorBoardCallback(keras.callbacks.Callback):
    """A Keras callback that writes one scalar for each metric of each epoch."""

    def __init__(self, folder: Path):
        super().__init__()
        self._writer = tf.summary.create_file_writer(str(folder))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        scalars = tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
        metadata = tf.compat.v1.SummaryMetadata(plugin_data=scalars)
        with self._writer.as_default():
            for name, value in (logs or {}).items():
                tf.summary.write(name, tf.constant(value, tf.float32), step=epoch, metadata=metadata)
        self._writer.flush()

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        self._writer.close()
