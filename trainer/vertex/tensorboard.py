"""Training curves as TensorBoard event files, without TensorBoard.

TensorFlow no longer installs tensorboard, and ``keras.callbacks.TensorBoard`` raises without it; the event format is
TensorFlow's own. Vertex AI shows the files when a job names a Tensorboard instance.
"""

from pathlib import Path

import keras
import tensorflow as tf


class Curves(keras.callbacks.Callback):
    """One point for each number of each epoch."""

    def __init__(self, folder: Path):
        super().__init__()
        self._writer = tf.summary.create_file_writer(str(folder))

    def on_epoch_end(self, epoch, logs=None):
        scalars = tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
        metadata = tf.compat.v1.SummaryMetadata(plugin_data=scalars)
        with self._writer.as_default():
            for name, value in (logs or {}).items():
                tf.summary.write(name, tf.constant(value, tf.float32), step=epoch, metadata=metadata)
        self._writer.flush()

    def on_train_end(self, logs=None):
        self._writer.close()
