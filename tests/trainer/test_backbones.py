"""What is special to one network: the documented size, our own limits, weights of ImageNet from a folder."""

import numpy as np
import pytest

from tests.contract.test_models import HANDS, chosen
from trainer import config, model, plugins, resolve
from trainer.backbones import _resnet
from trainer.errors import UserError
from trainer.imaging import Imaging

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
    built = model.build(wanted, Imaging(96, 192), HANDS)
    looks = model.mirrored(built)
    assert looks.count_params() <= 1_500_000
    assert looks.output_shape == (None, 512)
    assert 20 < 2 * multiply_adds(built) <= 150


def test_the_lightweight_encoder_has_the_documented_parameters():
    wanted = chosen("same_writer", "lightweight").model
    built = model.build(wanted, Imaging(128, 256), HANDS)
    assert built.count_params() == 304_672
    assert sum(int(np.prod(weight.shape)) for weight in built.trainable_weights) == 303_520
    assert built.output_shape == (None, 128)


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    """A folder as Keras Hub writes it, of a ResNet-18 with weights of its own."""
    built = model.build(chosen("same_writer", "resnet18").model, SMALL, HANDS)
    folder = tmp_path_factory.mktemp("preset") / "resnet18"
    built.get_layer("resnet").save_to_preset(str(folder))
    return folder, built.get_layer("resnet").get_weights()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15 saving with NumPy 2
def test_a_resnet_starts_from_the_weights_of_a_local_preset(preset):
    folder, weights = preset
    flags = ["--problem", "same_writer", "--backbone", "resnet18", "--preset", str(folder)]
    wanted = resolve.resolved(config.from_command_line(flags, {}), plugins.load("problems", "same_writer"))
    built = model.build(wanted.model, SMALL, HANDS)
    assert all(map(np.array_equal, built.get_layer("resnet").get_weights(), weights))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_preset_of_another_network_is_refused_in_words(preset):
    folder, _ = preset
    with pytest.raises(_resnet.NoPreset, match=r"\[3, 4, 6, 3\]"):
        _resnet._from_preset(str(folder), (32, 64, 3), [3, 4, 6, 3])


def test_a_preset_that_is_not_there_is_refused_in_words(tmp_path):
    with pytest.raises(_resnet.NoPreset, match="a folder that Keras Hub wrote"):
        _resnet._from_preset(str(tmp_path / "nowhere"), (32, 64, 3), [2, 2, 2, 2])


def test_a_network_without_presets_says_so():
    wanted = config.from_command_line(["--problem", "same_writer", "--preset", "x"], {})
    with pytest.raises(UserError, match="has no presets"):
        resolve.resolved(wanted, plugins.load("problems", "same_writer"))
