"""An explanation marks the part of a questioned signature that differs from the reference."""

import dataclasses

import numpy as np

from trainer.artifact import explain
from trainer.artifact.artifact import Artifact, EncodedImage


def compute_mean_ink(images):
    """Mean ink in 8 x 16 fields, as unit vectors: an encoder whose quality depends on no training."""
    fields = images.reshape(-1, 8, 4, 16, 4).mean(axis=(2, 4)).reshape(len(images), -1).astype(np.float32)
    return fields / np.linalg.norm(fields, axis=1, keepdims=True)


def test_an_explanation_marks_an_added_stroke(verifier_artifact, verification_data):
    encoded = Artifact(verifier_artifact).encode(min((verification_data / "001").iterdir()).read_bytes())

    def encode(image):
        canonical = dataclasses.replace(encoded.canonical, image=image)
        return EncodedImage(canonical, compute_mean_ink(image[None])[0], None)

    with_stroke = encoded.canonical.image.copy()
    with_stroke[2:12, 48:62] = 255
    reference, questioned = encode(encoded.canonical.image), encode(with_stroke)
    dissimilar = compute_mean_ink(255 - with_stroke[None])[0]
    for nearest in (reference, reference.vector):
        explanation = explain.explain_nearest(compute_mean_ink, questioned, [dissimilar, nearest])
        assert explanation.reference == 1
        assert explanation.heatmap.shape == (32, 64)
        row, column = np.unravel_index(np.argmax(explanation.heatmap), explanation.heatmap.shape)
        assert 2 <= row < 12
        assert 48 <= column < 62
