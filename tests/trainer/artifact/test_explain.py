"""An explanation marks the part of a questioned signature that differs from the reference."""

import dataclasses

import numpy as np
import pytest

from trainer.artifact import explain
from trainer.artifact.artifact import Artifact, EncodedImage
from trainer.artifact.similarity import Cosine, LocalSimilarity


def compute_mean_ink(images):
    """Mean ink in 8 x 16 fields, as unit vectors: an encoder whose quality depends on no training."""
    fields = images.reshape(-1, 8, 4, 16, 4).mean(axis=(2, 4)).reshape(len(images), -1).astype(np.float32)
    return fields / np.linalg.norm(fields, axis=1, keepdims=True)


def compute_local_ink(images):
    """Mean ink in the four quarters of 4 x 8 places, as grids of descriptors of equal lengths."""
    quarters = images.reshape(-1, 4, 2, 4, 8, 2, 4).mean(axis=(3, 6)).transpose(0, 1, 3, 2, 4).reshape(-1, 32, 4)
    lengths = np.linalg.norm(quarters, axis=2, keepdims=True)
    vectors = np.divide(quarters, lengths, out=np.zeros_like(quarters), where=lengths > 0).reshape(len(images), -1)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(
    ("engine", "similarity"),
    [(compute_mean_ink, Cosine()), (compute_local_ink, LocalSimilarity(4, 8, 1, 1, 0.05))],
    ids=["cosine", "local"],
)
def test_an_explanation_marks_an_added_stroke(verifier_artifact, verification_data, engine, similarity):
    encoded = Artifact(verifier_artifact).encode(min((verification_data / "001").iterdir()).read_bytes())

    def encode(image):
        canonical = dataclasses.replace(encoded.canonical, image=image)
        return EncodedImage(canonical, engine(image[None])[0], None)

    with_stroke = encoded.canonical.image.copy()
    with_stroke[:16, 48:] = 255
    reference, questioned = encode(encoded.canonical.image), encode(with_stroke)
    dissimilar = engine(255 - with_stroke[None])[0]
    for nearest in (reference, reference.vector):
        explanation = explain.explain_nearest(engine, similarity, questioned, [dissimilar, nearest])
        assert explanation.reference == 1
        assert explanation.heatmap.shape == (32, 64)
        row, column = np.unravel_index(np.argmax(explanation.heatmap), explanation.heatmap.shape)
        assert row < 16
        assert column >= 48
