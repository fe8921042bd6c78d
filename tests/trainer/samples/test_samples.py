"""The generated dataset: images follow from the seed, and writers and forgers have the properties of real ones."""

import numpy as np
import pytest

from trainer.imaging import Imaging, canonicalise
from trainer.samples import generator, pen
from trainer.samples.amount import DatasetSpec
from trainer.samples.writer import generate_forgery, generate_genuine, generate_writer


def test_an_image_is_determined_by_seed_writer_kind_and_number():
    assert generator.generate_image(3, 5, "genuine", 1) == generator.generate_image(3, 5, "genuine", 1)
    different = [
        (4, 5, "genuine", 1),
        (3, 6, "genuine", 1),
        (3, 5, "forged", 1),
        (3, 5, "genuine", 2),
        (3, 5, "text", 1),
    ]
    assert generator.generate_image(3, 5, "genuine", 1)[0] not in [
        generator.generate_image(*arguments)[0] for arguments in different
    ]


@pytest.mark.slow
def test_a_writer_does_not_depend_on_the_number_of_writers(tmp_path):
    for writers in (2, 4):
        for _ in generator.write_dataset(
            tmp_path / str(writers), DatasetSpec(writers=writers, genuine=1, forged=1, text=1), seed=9
        ):
            pass
    few, many = ({p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*.*")} for n in "24")
    assert few.items() <= many.items()


def test_every_generated_image_has_ink():
    for writer in range(1, 9):
        for kind in generator.SampleKind:
            assert canonicalise(generator.generate_image(2, writer, kind, 0)[0], Imaging()).image.any()


@pytest.mark.slow
def test_signatures_of_one_writer_are_more_similar_than_those_of_two():
    def canonical(writer, number):
        return (
            canonicalise(generator.generate_image(6, writer, "genuine", number)[0], Imaging()).image.astype(float) / 255
        )

    same_writer, different_writers = [], []
    for writer in range(1, 9):
        first = canonical(writer, 0)
        same_writer.append(np.abs(first - canonical(writer, 1)).mean())
        different_writers.append(np.abs(first - canonical(writer + 20, 0)).mean())
    assert np.mean(same_writer) < np.mean(different_writers)


def test_a_trajectory_ends_at_its_last_target():
    targets = np.array([[0.0, 0.0], [1.0, 0.5], [2.0, -0.5]])
    path = pen.compute_trajectory(targets, pen.Motion(), np.random.default_rng(0))
    np.testing.assert_allclose(path[0, :2], targets[0], atol=0.02)
    np.testing.assert_allclose(path[-1, :2], targets[-1], atol=0.02)
    assert path[0, 2] < path[:, 2].max() / 4, "it starts slowly"


def test_forgers_are_mostly_slower_than_the_writer():
    def get_seconds(paths):
        return sum(len(path) for path in paths) * pen.TIME_STEP

    ratios = []
    for seed in range(12):
        writer = generate_writer(np.random.default_rng(seed))
        rng = np.random.default_rng(seed + 100)
        ratios.append(get_seconds(generate_forgery(writer, rng)) / get_seconds(generate_genuine(writer, rng)))
    assert np.median(ratios) > 1.2
