"""What is special to one network: the documented size, our own limits, weights of ImageNet from a folder."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.contract.test_models import HANDS, chosen
from trainer.backbones import _resnet
from trainer.console.errors import UserError
from trainer.imaging import Imaging
from trainer.pipeline.problem_defaults import resolve_settings
from trainer.problems import same_writer
from trainer.settings import config, plugins
from trainer.training import network

SMALL = Imaging(32, 64)


def multiply_adds(built) -> float:
    """Millions of multiply-adds of the convolutions and dense layers for one image."""
    total = 0.0
    for layer in built._flatten_layers():
        if getattr(layer, "kernel", None) is not None:
            places = np.prod(layer.output.shape[1:-1]) if len(layer.kernel.shape) == 4 else 1
            total += float(places * np.prod(layer.kernel.shape))
    return total / 1e6


def test_our_own_encoder_stays_compact():
    wanted = chosen("same_writer", "strokes").model
    built = network.build(wanted, Imaging(96, 192), HANDS)
    looks = same_writer.mirrored(built)
    assert looks.count_params() <= 1_500_000
    assert looks.output_shape == (None, 512)
    assert 20 < 2 * multiply_adds(built) <= 150


def test_the_lightweight_encoder_has_the_documented_parameters():
    wanted = chosen("same_writer", "lightweight").model
    built = network.build(wanted, Imaging(128, 256), HANDS)
    assert built.count_params() == 304_672
    assert sum(int(np.prod(weight.shape)) for weight in built.trainable_weights) == 303_520
    assert built.output_shape == (None, 128)


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    """A folder as Keras Hub writes it, of a ResNet-18 with weights of its own."""
    built = network.build(chosen("same_writer", "resnet18").model, SMALL, HANDS)
    folder = tmp_path_factory.mktemp("preset") / "resnet18"
    built.get_layer("resnet").save_to_preset(str(folder))
    return folder, built.get_layer("resnet").get_weights()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15 saving with NumPy 2
def test_a_resnet_starts_from_the_weights_of_a_local_preset(preset):
    folder, weights = preset
    flags = ["--problem", "same_writer", "--backbone", "resnet18", "--preset", str(folder)]
    wanted = resolve_settings(config.from_command_line(flags, {}), plugins.load("problems", "same_writer"))
    built = network.build(wanted.model, SMALL, HANDS)
    assert all(map(np.array_equal, built.get_layer("resnet").get_weights(), weights))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_preset_of_another_network_is_refused_in_words(preset):
    folder, _ = preset
    with pytest.raises(_resnet.NoPreset, match=r"\[3, 4, 6, 3\]"):
        _resnet._from_preset(str(folder), (32, 64, 3), [3, 4, 6, 3])


def timm_weights(blocks, rng):
    """Random weights of a ResNet of basic blocks by timm's names: kernels ``[out, in, h, w]``, four numbers a norm."""
    weights = {}

    def convolution(name, norm, filters, channels, side):
        kernel = rng.standard_normal((filters, channels, side, side), np.float32)
        weights[f"{name}.weight"] = kernel * np.float32(np.sqrt(2 / (channels * side * side)))
        for part, spread in (("weight", 0.1), ("bias", 0.1), ("running_mean", 0.1), ("running_var", 0.0)):
            middle = 1.0 if part in ("weight", "running_var") else 0.0
            weights[f"{norm}.{part}"] = np.float32(middle) + np.float32(spread) * rng.standard_normal(
                filters, np.float32
            )

    convolution("conv1", "bn1", 64, 3, 7)
    channels = 64
    for stage, (count, filters) in enumerate(zip(blocks, (64, 128, 256, 512), strict=True), start=1):
        for block in range(count):
            place = f"layer{stage}.{block}"
            convolution(f"{place}.conv1", f"{place}.bn1", filters, channels, 3)
            convolution(f"{place}.conv2", f"{place}.bn2", filters, filters, 3)
            if channels != filters:
                convolution(f"{place}.downsample.0", f"{place}.downsample.1", filters, channels, 1)
            channels = filters
    return weights


@pytest.mark.parametrize(("name", "blocks"), [("resnet18", [2, 2, 2, 2]), ("resnet34", [3, 4, 6, 3])])
def test_a_resnet_starts_from_the_weights_of_a_timm_folder(tmp_path, name, blocks):
    """What ``hf://timm/resnet34.a1_in1k`` downloads: config.json and model.safetensors."""
    weights = timm_weights(blocks, np.random.default_rng(0))
    (tmp_path / "config.json").write_text(json.dumps({"architecture": name, "num_classes": 1000, "num_features": 512}))
    save_file(weights, tmp_path / "model.safetensors")
    flags = ["--problem", "same_writer", "--backbone", name, "--preset", str(tmp_path)]
    wanted = resolve_settings(config.from_command_line(flags, {}), plugins.load("problems", "same_writer"))
    resnet = network.build(wanted.model, SMALL, HANDS).get_layer("resnet")
    loaded = [weight.numpy() for weight in resnet.weights]
    assert len(loaded) == len(weights)
    assert sum(map(np.size, loaded)) == sum(map(np.size, weights.values()))
    as_keras = [w.transpose(2, 3, 1, 0) if w.ndim == 4 else w for w in weights.values()]
    sums = lambda arrays: sorted(float(np.abs(a).sum(dtype=np.float64)) for a in arrays)  # noqa: E731
    assert sums(loaded) == pytest.approx(sums(as_keras)), "each of them, and nothing else"
    (first,) = [w for w in loaded if w.shape == (7, 7, 3, 64)]
    assert np.array_equal(first, as_keras[0])


def test_a_preset_without_the_package_that_reads_it_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet18"}))
    monkeypatch.setattr("keras_hub.src.utils.transformers.safetensor_utils.safetensors", None)
    with pytest.raises(_resnet.NoPreset, match=r"countersign\[hub\]"):
        _resnet._from_preset(str(tmp_path), (32, 64, 3), [2, 2, 2, 2])


def test_a_preset_that_is_not_there_is_refused_in_words(tmp_path):
    with pytest.raises(_resnet.NoPreset, match="a folder that Keras Hub or timm wrote"):
        _resnet._from_preset(str(tmp_path / "nowhere"), (32, 64, 3), [2, 2, 2, 2])


def test_a_network_without_presets_says_so():
    wanted = config.from_command_line(["--problem", "same_writer", "--preset", "x"], {})
    with pytest.raises(UserError, match="has no presets"):
        resolve_settings(wanted, plugins.load("problems", "same_writer"))
