"""What values of an environment file look like: one parser for each format. Next: ``spec.py`` has the keys."""

import re
from collections.abc import Callable
from typing import Any

from trainer.settings.flags import BadSetting
from trainer.settings.spelling import suggest_nearest

ACCELERATOR_TYPES = (  # names of the API's AcceleratorType, without the one that stands for none
    "NVIDIA_TESLA_K80",
    "NVIDIA_TESLA_P100",
    "NVIDIA_TESLA_V100",
    "NVIDIA_TESLA_P4",
    "NVIDIA_TESLA_T4",
    "NVIDIA_TESLA_A100",
    "NVIDIA_A100_80GB",
    "NVIDIA_L4",
    "NVIDIA_H100_80GB",
    "NVIDIA_H100_MEGA_80GB",
    "NVIDIA_H200_141GB",
    "NVIDIA_B200",
    "NVIDIA_GB200",
    "NVIDIA_RTX_PRO_6000",
    "TPU_V2",
    "TPU_V3",
    "TPU_V4_POD",
    "TPU_V5_LITEPOD",
)


def _matching(pattern: str, description: str) -> Callable[[Any], str]:
    """Make a parser that accepts text of a pattern; ``description`` says in the error what would be right."""

    def parse(value):
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise BadSetting(f"{value!r} is not {description}")
        return value

    return parse


PROJECT_ID = _matching(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", "a project id (6 to 30 small letters, digits and dashes)")
REGION = _matching(r"[a-z]+-[a-z]+\d+", "a region such as europe-west4")
RESOURCE_ID = _matching(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", "an id (small letters, digits and dashes, a letter first)")
ALIAS = _matching(r"[a-z][a-zA-Z0-9-]{0,119}[a-z0-9]", "an alias (letters, digits and dashes, a small letter first)")
GS_PREFIX = _matching(r"gs://[a-z0-9][\w.-]+(/\S*)?", "a gs:// path")
MACHINE_TYPE = _matching(r"[a-z][a-z0-9]*-[a-z0-9-]+", "a machine type such as n1-standard-2")
SERVICE_ACCOUNT = _matching(r"|[^@\s]+@[^@\s]+\.[^@\s]+", "the e-mail address of a service account")
DATA_PATH = _matching(
    r"([^=/\s]+=)?(gs://[a-z0-9][\w.-]+(/\S*)?|/gcs/\S+)",
    "a gs:// path, LABEL=gs://... or /gcs/...; a job cannot read a folder of this machine",
)
BEAM_OPTION = _matching(r"--[a-z]\w*(=.+)?", "an option of Beam such as --subnetwork=... (one word, with =)")
LABEL = _matching(r"[a-z0-9_-]{0,63}", "a label (up to 63 small letters, digits, _ and -)")
EXPERIMENT = _matching(r"|[a-z0-9][a-z0-9-]{0,127}", "an experiment's name (small letters, digits, dashes)")


def accelerator_type(value: Any) -> str:
    """Accept a name of the API's ``AcceleratorType`` or the empty text."""
    if value in ("", *ACCELERATOR_TYPES):
        return value
    words = set(str(value).upper().replace("-", "_").split("_"))
    similar = [name for name in ACCELERATOR_TYPES if words <= set(name.split("_"))]  # "T4" is a part of NVIDIA_TESLA_T4
    hint = (
        f", did you mean {similar[0]!r}?" if similar else suggest_nearest(str(value).upper(), list(ACCELERATOR_TYPES))
    )
    raise BadSetting(f"{value!r} is not one of {', '.join(ACCELERATOR_TYPES)}{hint}")


PINNED_IMAGE = _matching(
    r"[\w.:/-]+@sha256:[0-9a-f]{64}",
    "IMAGE@sha256:DIGEST; a tag can be moved, so that another image than the tested one would answer",
)
