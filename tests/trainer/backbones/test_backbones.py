"""What concerns single backbones: documented sizes, limits of size, and ImageNet weights from a folder."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.contract.test_models import VERIFICATION_LABELS, make_small_config
from trainer.backbones import _resnet
from trainer.console.errors import UserError
from trainer.imaging import Imaging
from trainer.pipeline.problem_defaults import resolve_settings
from trainer.settings import plugins
from trainer.settings.config import parse_config
from trainer.training import network

SMALL = Imaging(32, 64)


def count_multiply_adds(model) -> float:
    """Count the millions of multiply-adds of the convolutions and dense layers for one image."""
    total = 0.0
    for layer in model._flatten_layers():
        if getattr(layer, "kernel", None) is not None:
            positions = np.prod(layer.output.shape[1:-1]) if len(layer.kernel.shape) == 4 else 1
            total += float(positions * np.prod(layer.kernel.shape))
    return total / 1e6


@pytest.mark.parametrize("backbone", plugins.list_names("backbones"))
def test_the_layers_of_a_first_model_have_names_that_differ(backbone):
    """Keras numbers the operations of later models, which hides a layer with the name of an operation."""
    keras.utils.clear_session()
    problem = "signature_on_page" if backbone == "page_grid" else "same_writer"
    settings = dataclasses.replace(make_small_config(problem, backbone).model, image_height=64, image_width=64)
    network.build_model(settings, Imaging(64, 64), VERIFICATION_LABELS)


def test_the_default_encoder_of_verification_stays_compact():
    settings = make_small_config("same_writer", "strokes").model
    model = network.build_model(settings, Imaging(96, 192), VERIFICATION_LABELS)
    assert model.count_params() <= 150_000
    assert model.output_shape == (None, 12 * 24 * 16)
    assert 10 < count_multiply_adds(model) <= 50


def test_the_lightweight_encoder_has_the_documented_parameters():
    settings = make_small_config("same_writer", "lightweight").model
    model = network.build_model(settings, Imaging(128, 256), VERIFICATION_LABELS)
    assert model.count_params() == 304_672
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == 303_520
    assert model.output_shape == (None, 128)


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    """A folder as Keras Hub writes it, of a ResNet-18 with random weights, and the weights."""
    model = network.build_model(make_small_config("same_writer", "resnet18").model, SMALL, VERIFICATION_LABELS)
    folder = tmp_path_factory.mktemp("preset") / "resnet18"
    model.get_layer("resnet").save_to_preset(str(folder))
    return folder, model.get_layer("resnet").get_weights()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15 saving with NumPy 2
def test_a_resnet_starts_from_the_weights_of_a_local_preset(preset):
    folder, weights = preset
    flags = ["--problem", "same_writer", "--backbone", "resnet18", "--preset", str(folder)]
    config = resolve_settings(parse_config(flags, {}), plugins.load("problems", "same_writer"))
    model = network.build_model(config.model, SMALL, VERIFICATION_LABELS)
    assert all(map(np.array_equal, model.get_layer("resnet").get_weights(), weights))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_error_about_a_preset_of_another_network_names_the_expected_blocks(preset):
    folder, _ = preset
    with pytest.raises(_resnet.PresetUnavailable, match=r"\[3, 4, 6, 3\]"):
        _resnet._load_preset(str(folder), (32, 64, 3), [3, 4, 6, 3])


def make_timm_weights(blocks, rng):
    """Draw weights of a ResNet of basic blocks by timm's names: kernels ``[out, in, h, w]``, four vectors a norm."""
    weights = {}

    def add_convolution(name, norm, filters, channels, side):
        kernel = rng.standard_normal((filters, channels, side, side), np.float32)
        weights[f"{name}.weight"] = kernel * np.float32(np.sqrt(2 / (channels * side * side)))
        for parameter, spread in (("weight", 0.1), ("bias", 0.1), ("running_mean", 0.1), ("running_var", 0.0)):
            mean = 1.0 if parameter in ("weight", "running_var") else 0.0
            noise = np.float32(spread) * rng.standard_normal(filters, np.float32)
            weights[f"{norm}.{parameter}"] = np.float32(mean) + noise

    add_convolution("conv1", "bn1", 64, 3, 7)
    channels = 64
    for stage, (count, filters) in enumerate(zip(blocks, (64, 128, 256, 512), strict=True), start=1):
        for block in range(count):
            prefix = f"layer{stage}.{block}"
            add_convolution(f"{prefix}.conv1", f"{prefix}.bn1", filters, channels, 3)
            add_convolution(f"{prefix}.conv2", f"{prefix}.bn2", filters, filters, 3)
            if channels != filters:
                add_convolution(f"{prefix}.downsample.0", f"{prefix}.downsample.1", filters, channels, 1)
            channels = filters
    return weights


@pytest.mark.parametrize(("name", "blocks"), [("resnet18", [2, 2, 2, 2]), ("resnet34", [3, 4, 6, 3])])
def test_a_resnet_starts_from_the_weights_of_a_timm_folder(tmp_path, name, blocks):
    """The folder is that of ``hf://timm/resnet34.a1_in1k``: config.json and model.safetensors."""
    weights = make_timm_weights(blocks, np.random.default_rng(0))
    (tmp_path / "config.json").write_text(json.dumps({"architecture": name, "num_classes": 1000, "num_features": 512}))
    save_file(weights, tmp_path / "model.safetensors")
    flags = ["--problem", "same_writer", "--backbone", name, "--preset", str(tmp_path)]
    config = resolve_settings(parse_config(flags, {}), plugins.load("problems", "same_writer"))
    resnet = network.build_model(config.model, SMALL, VERIFICATION_LABELS).get_layer("resnet")
    loaded = [weight.numpy() for weight in resnet.weights]
    assert len(loaded) == len(weights)
    assert sum(map(np.size, loaded)) == sum(map(np.size, weights.values()))
    expected = [w.transpose(2, 3, 1, 0) if w.ndim == 4 else w for w in weights.values()]
    assert sort_sums(loaded) == pytest.approx(sort_sums(expected)), "all weights, and no others"
    (first,) = [w for w in loaded if w.shape == (7, 7, 3, 64)]
    assert np.array_equal(first, expected[0])


def sort_sums(arrays):
    return sorted(float(np.abs(array).sum(dtype=np.float64)) for array in arrays)


def test_the_error_about_a_missing_package_names_the_extra_to_install(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet18"}))
    monkeypatch.setattr("keras_hub.src.utils.transformers.safetensor_utils.safetensors", None)
    with pytest.raises(_resnet.PresetUnavailable, match=r"countersign\[hub\]"):
        _resnet._load_preset(str(tmp_path), (32, 64, 3), [2, 2, 2, 2])


def test_the_error_about_a_missing_preset_says_which_folders_are_presets(tmp_path):
    with pytest.raises(_resnet.PresetUnavailable, match="a folder that Keras Hub or timm wrote"):
        _resnet._load_preset(str(tmp_path / "nowhere"), (32, 64, 3), [2, 2, 2, 2])


def test_a_preset_of_a_backbone_without_presets_is_an_error():
    config = parse_config(["--problem", "same_writer", "--preset", "x"], {})
    with pytest.raises(UserError, match="has no presets"):
        resolve_settings(config, plugins.load("problems", "same_writer"))
