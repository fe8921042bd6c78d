"""The work of every peer: the imaging of this package, and TensorFlow's SavedModel on one thread."""

import base64
import json

import numpy as np
import tensorflow as tf

from tests.bench.peers import MODEL
from trainer.imaging import Imaging, canonicalise


class Encoder:
    """Computes the embeddings of instances ``{"image": {"b64": ...}}`` as lists of floats."""

    def __init__(self):
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        self._imaging = Imaging(**json.loads((MODEL / "manifest.json").read_text())["imaging"])
        self._loaded = tf.saved_model.load(str(MODEL))  # kept, because its variables are deleted with it
        self._serve = self._loaded.serve
        self([], warm=True)

    def __call__(self, instances: list, warm: bool = False) -> list[list[float]]:
        if warm:
            self._serve(tf.zeros((1, self._imaging.height, self._imaging.width, 1), tf.uint8))
            return []
        images = [canonicalise(base64.b64decode(i["image"]["b64"]), self._imaging).image for i in instances]
        return self._serve(tf.constant(np.stack(images))).numpy().tolist()
