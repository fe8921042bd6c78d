"""Compute vectors of canonical images, with LiteRT, which serves, or with TensorFlow, the reference.

An engine is a function ``uint8 [N, H, W, 1] -> float32 [N, D]``; the result of a batch equals the results of its images
one by one. An engine is used by one thread at a time. Independent of decisions. Next: ``golden.py`` checks engines.
"""

import queue
from collections.abc import Callable
from pathlib import Path

import numpy as np

from trainer.artifact.manifest import BadArtifact, Manifest
from trainer.console.quiet import suppress_native_stderr

Engine = Callable[[np.ndarray], np.ndarray]
EngineFactory = Callable[..., Engine]  # called with a number of ``threads``, 1 by default, makes an engine
ENGINES = ("litert", "tensorflow")


def load_engine_factory(manifest: Manifest, folder: Path, engine_type: str = "litert") -> EngineFactory:
    """Read the model of an artefact; each call of the result makes one more engine, for a number of threads.

    The folder is not read again, so the weights cannot change under a running server. Raises ``BadArtifact`` if the
    file is no such model.
    """
    shape = (manifest.imaging["height"], manifest.imaging["width"], 1)
    if engine_type == "litert":
        variant = manifest.variants.get(manifest.variant)
        if variant is None:
            raise BadArtifact(f"the artefact answers with the variant {manifest.variant!r}, which it does not have")
        name, content = variant["file"], (folder / variant["file"]).read_bytes()
        return lambda threads=1: _make_litert_engine(name, content, shape, manifest.vector_size, threads)
    if engine_type == "tensorflow":
        engine = _make_tensorflow_engine(folder, shape)
        return lambda threads=1: engine
    raise ValueError(f"no engine is called {engine_type!r}; there is: {', '.join(ENGINES)}")


def _make_litert_engine(
    name: str, content: bytes, shape: tuple[int, int, int], vector_size: int, threads: int
) -> Engine:
    from ai_edge_litert.interpreter import Interpreter

    try:
        with suppress_native_stderr():  # it prints the name of its delegate, which Vertex AI would show as an error
            interpreter = Interpreter(model_content=content, num_threads=threads)
            input_details = interpreter.get_input_details()[0]
            interpreter.resize_tensor_input(input_details["index"], (1, *shape), strict=True)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError, IndexError) as error:
        raise BadArtifact(f"{name!r} is not a LiteRT model of {shape[0]} x {shape[1]} images: {error}") from None
    output_details = interpreter.get_output_details()[0]
    if input_details["dtype"] != np.uint8 or output_details["dtype"] != np.float32:
        raise BadArtifact(
            f"{name!r} maps {input_details['dtype'].__name__} to {output_details['dtype'].__name__}, "
            "not uint8 to float32"
        )

    def compute(images: np.ndarray) -> np.ndarray:
        _check_images(images, shape)
        result = np.empty((len(images), vector_size), np.float32)
        for row, image in enumerate(images):  # on a CPU a batch is no faster than its images one by one
            interpreter.set_tensor(input_details["index"], image[None])
            interpreter.invoke()
            result[row] = interpreter.get_tensor(output_details["index"])[0]
        return result

    return compute


def _make_tensorflow_engine(folder: Path, shape: tuple[int, int, int]) -> Engine:
    try:
        import tensorflow as tf
    except ModuleNotFoundError:
        raise BadArtifact("the TensorFlow engine was requested, but tensorflow is not installed here") from None
    try:
        loaded = tf.saved_model.load(str(folder))
    except (OSError, ValueError) as error:
        raise BadArtifact(f"{str(folder)!r} holds no SavedModel: {error}") from None

    def compute(images: np.ndarray) -> np.ndarray:
        _check_images(images, shape)
        return loaded.serve(tf.constant(images)).numpy()

    return compute


def _check_images(images: np.ndarray, shape: tuple[int, int, int]) -> None:
    if images.dtype != np.uint8 or images.shape[1:] != shape:
        raise ValueError(
            f"images are {images.dtype} {list(images.shape)}; the model takes uint8 [N, {shape[0]}, {shape[1]}, 1]"
        )


class EnginePool:
    """Engines of one model for any number of threads: a call takes a free engine, or makes one if none is free.

    Every engine passes ``check_engine`` before it answers. An ``EnginePool`` can be called as an ``Engine``.
    """

    def __init__(self, make_engine: EngineFactory):
        self._make_engine = make_engine
        self._free: queue.LifoQueue[Engine] = (
            queue.LifoQueue()
        )  # last in, first out: its memory is still in the processor's cache
        self.check_engine: Callable[[Engine], None] = lambda engine: None

    def prepare(self, count: int) -> None:
        """Make and check engines until ``count`` are free. Raises what ``check_engine`` raises."""
        for _ in range(count - self._free.qsize()):
            self._free.put(self._make_checked())

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Compute ``uint8 [N, H, W, 1] -> float32 [N, D]`` on a free engine."""
        try:
            engine = self._free.get_nowait()
        except queue.Empty:
            engine = self._make_checked()
        try:
            return engine(images)
        finally:
            self._free.put(engine)

    def _make_checked(self) -> Engine:
        engine = self._make_engine()
        self.check_engine(engine)
        return engine
