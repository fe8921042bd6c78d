"""Canonical images to vectors: LiteRT (what serves) and TensorFlow (the reference).

Both are a function ``uint8 [N, H, W, 1] -> float32 [N, D]`` with the result of a batch equal to the results of its
images one by one. An engine belongs to one thread. Knows no decisions. Next: ``artifact.py``.
"""

import queue
from collections.abc import Callable
from pathlib import Path

import numpy as np

from trainer.artifact.manifest import BadArtifact, Manifest
from trainer.console.quiet import native_stderr_closed

Engine = Callable[[np.ndarray], np.ndarray]
Maker = Callable[..., Engine]  # of an engine that computes with so many ``threads``, one unless said
KINDS = ("litert", "tensorflow")


def load(manifest: Manifest, folder: Path, kind: str = "litert") -> Maker:
    """Read an artefact's model once; each call of the result makes one more engine, for as many threads as it is given.

    Nothing is read from the folder afterwards, so the weights cannot change under a running server. Raises
    ``BadArtifact`` when the file is no such model.
    """
    shape = (manifest.imaging["height"], manifest.imaging["width"], 1)
    if kind == "litert":
        variant = manifest.variants.get(manifest.variant)
        if variant is None:
            raise BadArtifact(f"the artefact answers with the variant {manifest.variant!r}, which it does not have")
        name, content = variant["file"], (folder / variant["file"]).read_bytes()
        return lambda threads=1: _litert(name, content, shape, manifest.vector_size, threads)
    if kind == "tensorflow":
        engine = _tensorflow(folder, shape)
        return lambda threads=1: engine
    raise ValueError(f"no engine is called {kind!r}; there is: {', '.join(KINDS)}")


def _litert(name: str, content: bytes, shape: tuple[int, int, int], vector_size: int, threads: int) -> Engine:
    from ai_edge_litert.interpreter import Interpreter

    try:
        with native_stderr_closed():  # says which delegate it made, in a line that Vertex would show as an error
            interpreter = Interpreter(model_content=content, num_threads=threads)
            taken = interpreter.get_input_details()[0]
            interpreter.resize_tensor_input(taken["index"], (1, *shape), strict=True)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError, IndexError) as error:
        raise BadArtifact(f"{name!r} is not a LiteRT model of {shape[0]} x {shape[1]} images: {error}") from None
    given = interpreter.get_output_details()[0]
    if taken["dtype"] != np.uint8 or given["dtype"] != np.float32:
        raise BadArtifact(f"{name!r} maps {taken['dtype'].__name__} to {given['dtype'].__name__}, not uint8 to float32")

    def vectors(images: np.ndarray) -> np.ndarray:
        _check(images, shape)
        result = np.empty((len(images), vector_size), np.float32)
        for row, image in enumerate(images):  # on a CPU a batch is no faster than its images one by one
            interpreter.set_tensor(taken["index"], image[None])
            interpreter.invoke()
            result[row] = interpreter.get_tensor(given["index"])[0]
        return result

    return vectors


def _tensorflow(folder: Path, shape: tuple[int, int, int]) -> Engine:
    try:
        import tensorflow as tf
    except ModuleNotFoundError:
        raise BadArtifact("the TensorFlow engine was asked for, but tensorflow is not installed here") from None
    try:
        loaded = tf.saved_model.load(str(folder))
    except (OSError, ValueError) as error:
        raise BadArtifact(f"{str(folder)!r} holds no SavedModel: {error}") from None

    def vectors(images: np.ndarray) -> np.ndarray:
        _check(images, shape)
        return loaded.serve(tf.constant(images)).numpy()

    return vectors


def _check(images: np.ndarray, shape: tuple[int, int, int]) -> None:
    if images.dtype != np.uint8 or images.shape[1:] != shape:
        raise ValueError(
            f"images are {images.dtype} {list(images.shape)}; the model takes uint8 [N, {shape[0]}, {shape[1]}, 1]"
        )


class Pool:
    """Engines of one model for any number of threads: a call borrows one, and one is made when all are out.

    Each one that is made passes ``check`` before it answers. ``Pool`` is an ``Engine`` itself.
    """

    def __init__(self, make: Maker):
        self._make = make
        self._free: queue.LifoQueue[Engine] = queue.LifoQueue()  # the one used last is the one in the cache
        self.check: Callable[[Engine], None] = lambda engine: None

    def fill(self, count: int) -> None:
        """Have this many engines ready; raises what ``check`` raises."""
        for _ in range(count - self._free.qsize()):
            self._free.put(self._checked())

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """``uint8 [N, H, W, 1] -> float32 [N, D]``."""
        try:
            engine = self._free.get_nowait()
        except queue.Empty:
            engine = self._checked()
        try:
            return engine(images)
        finally:
            self._free.put(engine)

    def _checked(self) -> Engine:
        engine = self._make()
        self.check(engine)
        return engine
