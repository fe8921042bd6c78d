"""The stream of generated images: a function of seed and position, whoever makes an image and when."""

import dataclasses
import multiprocessing
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.conftest import ROOT
from trainer.data import stream
from trainer.data.stream import StreamSpec
from trainer.generators import signatures
from trainer.imaging import Imaging, canonicalise
from trainer.samples import capture, sample

SPEC = StreamSpec("signatures", ("other", "signature", "text"), 24, 5, Imaging(32, 64))


def read(spec: StreamSpec, epoch: int, processes: int) -> tuple[np.ndarray, np.ndarray]:
    chunks = list(stream.stream_epoch(spec, epoch, processes))
    return np.concatenate([images for images, _ in chunks]), np.concatenate([labels for _, labels in chunks])


@pytest.mark.slow
def test_an_epoch_does_not_depend_on_the_number_of_processes_and_differs_from_the_next():
    images, labels = read(SPEC, 1, processes=1)
    again, labels_again = read(SPEC, 1, processes=2)
    np.testing.assert_array_equal(images, again)
    np.testing.assert_array_equal(labels, labels_again)
    assert images.shape == (24, 32, 64, 1)
    following, _ = read(SPEC, 2, processes=1)
    assert not any((image == other).all() for image in images for other in following)


@pytest.mark.slow
def test_repeated_images_make_an_epoch_shorter_and_epochs_still_share_none():
    spec = dataclasses.replace(SPEC, repeats=5)
    first, second = read(spec, 0, processes=1)[0], read(spec, 1, processes=1)[0]
    np.testing.assert_array_equal(np.concatenate([first, second]), stream.make_chunk(spec, 0, 10)[0])
    assert len(first) == spec.distinct == 5, "24 images of an epoch, each 5 times, are 5 different ones"


def test_a_chunk_is_a_part_of_the_stream_wherever_it_begins():
    images, labels = stream.make_chunk(SPEC, 10, 4)
    np.testing.assert_array_equal(images[2:], stream.make_chunk(SPEC, 12, 2)[0])
    np.testing.assert_array_equal(labels, [SPEC.label_of(position) for position in range(10, 14)])


def test_labels_take_turns_by_their_weights_and_others_than_the_generators_do_not_occur():
    labels = [SPEC.label_of(position) for position in range(700)]
    assert np.bincount(labels).tolist() == [100, 300, 300]
    two = StreamSpec("signatures", ("signature", "text"), 24, 5, Imaging(32, 64))
    assert np.bincount([two.label_of(position) for position in range(96)]).tolist() == [48, 48]


@pytest.mark.slow
def test_a_stream_that_is_left_early_stops_its_processes():
    chunks = stream.stream_epoch(StreamSpec("signatures", ("text",), 10_000, 5, Imaging(32, 64)), 0, processes=1)
    next(chunks)
    assert multiprocessing.active_children()
    chunks.close()
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_a_killed_training_leaves_no_process_of_its_stream(tmp_path):
    script = tmp_path / "stream_until_killed.py"
    script.write_text("""
import multiprocessing
from trainer.data import stream
from trainer.imaging import Imaging

if __name__ == "__main__":
    spec = stream.StreamSpec("signatures", ("text",), 100_000, 5, Imaging(32, 64))
    chunks = stream.stream_epoch(spec, 0, processes=1)
    next(chunks)
    print(multiprocessing.active_children()[0].pid, flush=True)
    for _ in chunks:
        pass
""")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, env=environment) as training:
        child = int(training.stdout.readline())
        os.kill(child, 0)
        training.kill()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and _is_alive(child):
        time.sleep(0.1)
    assert not _is_alive(child)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_an_image_of_the_stream_is_the_canonical_image_of_its_file():
    formats = set()
    for seed in range(12):
        scan = sample.generate_scan("text", sample.ANY_SCAN, np.random.default_rng(seed))
        formats.add(scan.capture.format)
        direct = signatures._canonicalise(scan, Imaging(32, 64))
        if direct is not None:  # else no ink was found, and another image is generated
            np.testing.assert_array_equal(direct, canonicalise(capture.encode_file(scan)[0], Imaging(32, 64)).image)
    assert formats == {"PNG", "JPEG"}
