"""Every setting of a training run, once: name, type, default, range and help, in one frozen dataclass for each section.

Flags, ``--help``, ``config.toml`` and the documentation derive from these fields. Next: ``config.py`` reads them.
"""

import dataclasses

from trainer.artifact import manifest
from trainer.imaging.ink import INKS
from trainer.settings import experiment, plugins
from trainer.settings.flags import between, one_of, option

DTYPE_POLICIES = ("float32", "mixed_bfloat16")
_whole = lambda low, high: between(low, high, int)  # noqa: E731
_plugin = lambda folder: lambda name: plugins.check(folder, name)  # noqa: E731


@dataclasses.dataclass(frozen=True)
class Data:
    """What to learn from.

    Without --train-dir the generated dataset is used. A folder's layout is detected; LABEL=PATH gives everything below
    PATH one label. Folders called train, val, test and predict are parts, which are kept; else parts are drawn, and
    writers never cross from one to another.
    """

    train_dir: tuple[str, ...] = option(
        (),
        "folder, zip, CSV file or gs:// path of images, or LABEL=PATH; may be given several times",
        metavar="[LABEL=]PATH",
    )
    test_dir: tuple[str, ...] = option(
        (), "the separate unseen set; without it a part of the training data is set aside", metavar="[LABEL=]PATH"
    )
    layout: str = option(
        "", f"the layout of every folder, instead of detecting it: {', '.join(plugins.names('corpora'))}",
        _plugin("corpora"), "NAME",
    )  # fmt: skip
    validation_fraction: float = option(
        0.3, "share of the training images that choose the best epoch", between(0.05, 0.9)
    )
    test_fraction: float = option(
        0.15, "share of all images set aside as the unseen part when there is no --test-dir", between(0.01, 0.9)
    )
    writers: int = option(0, "people in the generated dataset; the problem knows its default", _whole(4, 100_000))
    strict: bool = option(False, "fail when any image cannot be read, instead of counting and naming it")
    min_quality: float = option(
        0.0, "leave out images to learn from that are worse: 1 is without warnings, see docs/imaging.md", between(0, 1)
    )
    drop_duplicates: bool = option(
        False, "leave out images to learn from that (nearly) repeat one of --test-dir, instead of failing"
    )


@dataclasses.dataclass(frozen=True)
class Model:
    """What to learn, and with which network."""

    problem: str = option(
        "signature_vs_text", f"the question: {', '.join(plugins.names('problems'))}", _plugin("problems"), "NAME"
    )
    backbone: str = option(
        "",
        f"the network: {', '.join(plugins.names('backbones'))}; the problem knows its default",
        _plugin("backbones"),
        "NAME",
    )
    image_height: int = option(
        0, "pixels of the canonical image; the problem knows its default", _whole(16, 1024), "PIXELS"
    )
    image_width: int = option(
        0, "pixels of the canonical image; the problem knows its default", _whole(16, 1024), "PIXELS"
    )
    ink: str = option(
        INKS[0],
        f"{' or '.join(INKS)}; grey levels name the scanner, and are for reproducing old results",
        one_of(*INKS),
    )
    dropout: float | None = option(
        None,
        "share of the last layer's features dropped while training; the problem knows its default",
        between(0, 0.95),
    )
    embedding_dim: int = option(
        0, "dimension of the embedding, where a problem has one; the backbone knows its default", _whole(2, 4096),
        was="embedding",
    )  # fmt: skip
    preset: str = option(
        "",
        "weights a ResNet starts from: a folder of Keras Hub or timm, or a name, see docs/training.md",
        metavar="PRESET",
    )
    variant: str = option(
        manifest.VARIANTS[0],
        f"LiteRT variant that answers: {' or '.join(manifest.VARIANTS)}; int8 only where it errs as little",
        one_of(*manifest.VARIANTS), was="serve",
    )  # fmt: skip
    signature_check: str = option(
        "", "artefact of signature_vs_text that says first whether an image is a signature; see docs/verification.md",
        metavar="PATH", was="gate",
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Training:
    """How to learn it."""

    loss: str = option("", "what is minimised, see docs/training.md; the problem knows its default", metavar="NAME")
    epochs: int = option(
        0,
        "passes over the training part; the best on the validation part is kept; the problem knows its default",
        _whole(1, 100_000),
    )
    patience: int | None = option(
        None,
        "stop when validation has not improved for so many epochs; 0 for never; the problem knows its default",
        _whole(0, 100_000),
    )
    batch_size: int = option(
        0, "images in one step, over all devices together; the problem knows its default", _whole(1, 65_536)
    )
    learning_rate: float = option(
        0.0,
        "of Adam at the start; it falls to nothing along a cosine; the problem knows its default",
        between(1e-8, 10),
    )
    warmup: float | None = option(
        None, "share of the steps in which the rate rises to its start; the problem knows its default", between(0, 0.9)
    )
    weight_decay: float | None = option(
        None,
        "share of the weights taken off in each step, times the rate; the problem knows its default",
        between(0, 1),
    )
    clip_norm: float | None = option(
        None, "longest gradient of a weight, longer ones are cut; 0 for none; the problem knows its default",
        between(0, 1e6),
    )  # fmt: skip
    ema_decay: float | None = option(
        None, "decay of the exponential moving average of the weights; the problem knows its default",
        between(0, 0.99999), was="averaging",
    )  # fmt: skip
    augment: bool = option(
        True, "turn, rescale and zoom the training images a little, and vary their pen where hands are compared"
    )
    init_from: str = option(
        "", "artefact or .keras file whose weights are the start, as far as they fit; may be gs://", metavar="PATH"
    )
    frozen_epochs: int = option(0, "epochs at the start in which only the head learns", _whole(0, 100_000))
    dtype_policy: str = option(
        DTYPE_POLICIES[0],
        f"{' or '.join(DTYPE_POLICIES)}, which is faster on newer GPUs; what is exported is float32 in any case",
        one_of(*DTYPE_POLICIES), was="precision",
    )  # fmt: skip
    seed: int = option(
        7,
        "of the split, the weights, the order and the augmentation; same seed and data, same numbers",
        _whole(0, 2**32 - 1),
    )


@dataclasses.dataclass(frozen=True)
class Output:
    """Where things go.

    An interrupted run continues from its newest checkpoint when the same command is given again. On Vertex AI the
    environment (AIP_MODEL_DIR, AIP_CHECKPOINT_DIR, AIP_TENSORBOARD_LOG_DIR) sets three of them; each trial of a study
    (CLOUD_ML_TRIAL_ID) works in a folder of that name below the job dir.
    """

    job_dir: str | None = option(None, "folder of the run; runs/TIME-PROBLEM if not given", metavar="PATH")
    model_dir: str | None = option(None, "where the artefact goes; model/ in the job dir if not given", metavar="PATH")
    checkpoint_dir: str | None = option(
        None, "where checkpoints go; checkpoints/ in the job dir if not given", metavar="PATH"
    )
    tensorboard_dir: str | None = option(
        None, "where TensorBoard event files go; none are written if not given", metavar="PATH"
    )
    experiment: str = option(
        "", "keep settings and numbers there: projects/PROJECT/locations/REGION/EXPERIMENT[/RUN] of Vertex AI",
        experiment.checked, metavar="NAME",
    )  # fmt: skip
    tensorboard: str = option(
        "", "and curves there: a Vertex TensorBoard, projects/PROJECT/locations/REGION/tensorboards/ID", metavar="NAME"
    )
    verbose: bool = option(False, "print and log more: the layers, library versions, how long each stage took")
