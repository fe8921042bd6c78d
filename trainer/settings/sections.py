"""Every setting of a training run, once: name, type, default, range and help, in one frozen dataclass for each section.

Flags, ``--help``, ``config.toml`` and the documentation derive from these fields. Next: ``config.py`` reads them.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from trainer.artifact import manifest
from trainer.imaging.ink import INKS
from trainer.settings import experiment, plugins
from trainer.settings.flags import between, one_of, option

DTYPE_POLICIES = ("float32", "mixed_bfloat16")


def _integer(low: int, high: int) -> Callable[[Any], Any]:
    return between(low, high, int)


def _plugin(folder: str) -> Callable[[str], str]:
    return lambda name: plugins.check_name(folder, name)


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """Data.

    Without --train-dir a run generates its dataset. The layout of a folder is detected; LABEL=PATH gives everything
    below PATH one label. Folders called train, val, test and predict name splits, which are kept. Otherwise splits are
    drawn by writer: all images of a writer are in one split.
    """

    train_dir: tuple[str, ...] = option(
        (),
        "folder, zip file, CSV file or gs:// path of images, or LABEL=PATH; may be given several times",
        metavar="[LABEL=]PATH",
    )
    test_dir: tuple[str, ...] = option(
        (), "separate test data, in the same forms; without it a share of --train-dir is used", metavar="[LABEL=]PATH"
    )
    data_terms: str = option(
        "",
        "terms under which the images may be used, for the model card, such as a licence or a consent",
        metavar="TEXT",
    )
    layout: str = option(
        "",
        f"layout of every folder, instead of detection: {', '.join(plugins.list_names('corpora'))}",
        _plugin("corpora"),
        "NAME",
    )
    validation_fraction: float = option(
        0.3, "share of the training images that form the validation split, 0.05 to 0.9", between(0.05, 0.9), "SHARE"
    )
    test_fraction: float = option(
        0.15,
        "share of all images that form the test split without --test-dir, 0.01 to 0.9",
        between(0.01, 0.9),
        "SHARE",
    )
    writers: int = option(0, "number of writers in the generated dataset, at least 4", _integer(4, 100_000), "N")
    pages: int = option(
        0, "number of pages in the generated dataset of signature_on_page, at least 40", _integer(40, 1_000_000), "N"
    )
    strict: bool = option(False, "fail if any image cannot be read, instead of counting and naming it")
    min_quality: float = option(
        0.0,
        "leave out training images whose quality is below this, 0 to 1 (default: 0); see docs/imaging.md",
        between(0, 1),
        "QUALITY",
    )
    drop_duplicates: bool = option(
        False,
        "leave out training images that are duplicates or near duplicates of images of --test-dir, instead of failing",
    )
    copies_dir: tuple[str, ...] = option(
        (),
        "folder, zip, CSV file or gs:// path of handwriting of any writers, of which only copies are trained on, "
        "see --copies-share; may be given several times",
        metavar="PATH",
    )


@dataclasses.dataclass(frozen=True)
class ModelSettings:
    """Model.

    Numbers and names without a default here take it from the problem, the dimension of the embedding from the backbone.
    """

    problem: str = option(
        "signature_vs_text",
        f"question to learn: {', '.join(plugins.list_names('problems'))}",
        _plugin("problems"),
        "NAME",
    )
    backbone: str = option("", f"network: {', '.join(plugins.list_names('backbones'))}", _plugin("backbones"), "NAME")
    image_height: int = option(0, "height of the canonical image in pixels, 16 to 1024", _integer(16, 1024), "PIXELS")
    image_width: int = option(0, "width of the canonical image in pixels, 16 to 1024", _integer(16, 1024), "PIXELS")
    ink: str = option(
        INKS[0],
        f"ink of the canonical image: {' or '.join(INKS)}; grey levels identify the scanner, use them only to "
        "reproduce old results",
        one_of(*INKS),
        "NAME",
    )
    dropout: float | None = option(
        None, "share of the last layer's features that is dropped during training, 0 to 0.95", between(0, 0.95), "SHARE"
    )
    embedding_dim: int = option(
        0,
        "dimension of the embedding, or of the descriptor of a place, 2 to 4096; signature_vs_text has none",
        _integer(2, 4096),
        "N",
        was="embedding",
    )
    preset: str = option(
        "",
        "pretrained weights of a ResNet: a folder of Keras Hub or timm, or a preset name; see docs/training.md",
        metavar="PRESET",
    )
    variant: str = option(
        manifest.VARIANTS[0],
        f"LiteRT variant that answers: {' or '.join(manifest.VARIANTS)}; int8 only if its error rates are as low",
        one_of(*manifest.VARIANTS),
        "NAME",
        was="serve",
    )
    signature_check: str = option(
        "",
        "artefact of signature_vs_text that decides first whether an image is a signature; see docs/verification.md",
        metavar="PATH",
        was="gate",
    )


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """Training.

    Numbers and names without a default here take it from the problem.
    """

    loss: str = option("", "loss function; see docs/training.md", metavar="NAME")
    epochs: int = option(
        0,
        "largest number of passes over the training split; the weights of the best epoch on the validation split are "
        "exported",
        _integer(1, 100_000),
        "N",
    )
    patience: int | None = option(
        None,
        "stop after this number of epochs since the best one by the validation split; 0 never stops",
        _integer(0, 100_000),
        "EPOCHS",
    )
    stream: int = option(
        0,
        "generated images that join the training images of each epoch, made beside the training, others in every epoch "
        "(default: 0); see docs/training.md",
        _integer(0, 100_000_000),
        "IMAGES",
    )
    stream_repeats: int = option(
        1,
        "how often each image of --stream is used in its epoch, augmented anew; more trains faster than images are "
        "generated, on fewer different ones",
        _integer(1, 100),
        "N",
    )
    copies_share: float | None = option(
        None,
        "share of the batches that are drawn from copies of signatures, as their writers and as forgers could have "
        "written them, 0 to 1; for losses that compare images; see docs/training.md",
        between(0, 1),
        "SHARE",
    )
    batch_size: int = option(0, "images in one step, over all devices together", _integer(1, 65_536), "N")
    learning_rate: float = option(
        0.0, "highest learning rate of Adam; it falls to 0 along a cosine", between(1e-8, 10), "RATE"
    )
    warmup: float | None = option(
        None, "share of the steps in which the learning rate rises from 0, 0 to 0.9", between(0, 0.9), "SHARE"
    )
    weight_decay: float | None = option(
        None, "share of the weights that each step subtracts, times the learning rate (AdamW)", between(0, 1), "SHARE"
    )
    clip_norm: float | None = option(
        None,
        "largest norm of the gradient of a weight; longer gradients are clipped; 0 clips none",
        between(0, 1e6),
        "NORM",
    )
    ema_decay: float | None = option(
        None,
        "decay of the exponential moving average of the weights, 0 (no average) to 0.99999",
        between(0, 0.99999),
        "DECAY",
        was="averaging",
    )
    augment: bool = option(
        True,
        "rotate, zoom, stretch and shift the training images a little; for losses that compare images, also vary the "
        "pen",
    )
    init_from: str | None = option(
        None,
        "artefact or .keras file with initial weights, may be gs:// or ready:NAME, or none for random ones; sets "
        "--backbone and canvas unless they are given; layers with another name or shape are initialised at random",
        lambda path: "" if path == "none" else path,
        "PATH",
    )
    frozen_epochs: int = option(
        0,
        "number of epochs at the start in which only the head is trained (default: 0)",
        _integer(0, 100_000),
        "EPOCHS",
    )
    dtype_policy: str = option(
        DTYPE_POLICIES[0],
        f"type of the computation: {' or '.join(DTYPE_POLICIES)}, which is faster on newer GPUs; the export is float32 "
        "in any case",
        one_of(*DTYPE_POLICIES),
        "NAME",
        was="precision",
    )
    seed: int = option(
        7,
        "seed of the split, the weights, the order and the augmentation; equal seeds and data give equal numbers",
        _integer(0, 2**32 - 1),
        "N",
    )


@dataclasses.dataclass(frozen=True)
class SpeedSettings:
    """Speed.

    These change how fast a model is trained, and its numbers in the last digits at most. A run may be continued with
    others. See docs/training.md for what they gain.
    """

    steps_per_execution: int = option(
        1,
        "training steps in one call of TensorFlow; more keep a GPU busy where steps are short",
        _integer(1, 10_000),
        "N",
    )
    augmentation_workers: int | None = option(
        None,
        "processes that draw and augment batches beside the training; 0 uses a thread (default: 0 without a GPU, else "
        "one for each processor); the images are the same for any number",
        _integer(0, 1024),
        "N",
    )
    deterministic: bool = option(
        True, "equal seeds and data give equal numbers; off, a GPU may use faster operations whose last digits differ"
    )
    jit_compile: bool = option(False, "compile the training step by XLA, on one GPU; slower on processors")


@dataclasses.dataclass(frozen=True)
class OutputSettings:
    """Output.

    The same command continues an interrupted run from its newest checkpoint. Folders may be gs:// paths. On Vertex AI
    the environment sets --model-dir (AIP_MODEL_DIR), --checkpoint-dir (AIP_CHECKPOINT_DIR) and --tensorboard-dir
    (AIP_TENSORBOARD_LOG_DIR); each trial of a study works in the folder CLOUD_ML_TRIAL_ID of the job dir.
    """

    job_dir: str | None = option(None, "folder of the run (default: runs/TIME-PROBLEM)", metavar="PATH")
    model_dir: str | None = option(None, "folder of the artefact (default: model/ in the job dir)", metavar="PATH")
    checkpoint_dir: str | None = option(
        None, "folder of the checkpoints (default: checkpoints/ in the job dir)", metavar="PATH"
    )
    tensorboard_dir: str | None = option(
        None, "folder of event files for TensorBoard; without it none are written", metavar="PATH"
    )
    experiment: str = option(
        "",
        "Vertex experiment for settings and metrics: projects/PROJECT/locations/REGION/EXPERIMENT[/RUN]",
        experiment.parse_experiment_name,
        "NAME",
    )
    tensorboard: str = option(
        "",
        "Vertex TensorBoard for curves, beside --experiment: projects/PROJECT/locations/REGION/tensorboards/ID",
        metavar="NAME",
    )
    verbose: bool = option(False, "print and log more: layers, library versions, duration of each stage")
