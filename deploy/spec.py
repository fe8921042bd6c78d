"""``deploy/environments/*.toml``: what an environment is to be, every key checked, the file and key named in errors.

Knows files and settings, not the cloud. A key stands once, in a dataclass below: TOML, flags and ``--help`` derive from
it. Next: ``plan.py`` says how to get there, ``jobs.py`` makes training jobs of ``[training]``.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from deploy.live import DIGITS, Serving
from deploy.vertex import ACCELERATORS
from trainer.settings import toml
from trainer.settings.flags import BadSetting, between, option, parsed, renamed, with_current_names
from trainer.settings.spelling import nearest

FOLDER = Path(__file__).parent / "environments"
MANAGED = {"managed-by": "countersign"}
_whole = lambda low, high: between(low, high, int)  # noqa: E731


def _matching(pattern: str, wanted: str) -> Callable[[Any], str]:
    def parse(value):
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise BadSetting(f"{value!r} is not {wanted}")
        return value

    return parse


_PROJECT = _matching(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", "a project id (6 to 30 small letters, digits and dashes)")
_REGION = _matching(r"[a-z]+-[a-z]+\d+", "a region such as europe-west4")
_ID = _matching(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", "an id (small letters, digits and dashes, a letter first)")
_ALIAS = _matching(r"[a-z][a-zA-Z0-9-]{0,119}[a-z0-9]", "an alias (letters, digits and dashes, a small letter first)")
_PREFIX = _matching(r"gs://[a-z0-9][\w.-]+(/\S*)?", "a gs:// path")
_MACHINE = _matching(r"[a-z][a-z0-9]*-[a-z0-9-]+", "a machine type such as n1-standard-2")
_ACCOUNT = _matching(r"|[^@\s]+@[^@\s]+\.[^@\s]+", "the e-mail address of a service account")


def _accelerator(value: Any) -> str:
    """A name of the API's ``AcceleratorType``, or nothing."""
    if value in ("", *ACCELERATORS):
        return value
    words = set(str(value).upper().replace("-", "_").split("_"))
    alike = [name for name in ACCELERATORS if words <= set(name.split("_"))]  # "T4" is a part of one
    hint = f", did you mean {alike[0]!r}?" if alike else nearest(str(value).upper(), list(ACCELERATORS))
    raise BadSetting(f"{value!r} is not one of {', '.join(ACCELERATORS)}{hint}")


_PINNED = _matching(
    r"[\w.:/-]+@sha256:[0-9a-f]{64}",
    "IMAGE@sha256:DIGEST; a tag can be moved, and then what answers is not what was tested",
)
_LABEL_KEY, _LABEL_VALUE = re.compile(r"[a-z][a-z0-9_-]{0,62}"), re.compile(r"[a-z0-9_-]{0,63}")


@dataclasses.dataclass(frozen=True)
class Place:
    """Project and region."""

    project: str = option("", "project id; never inferred", _PROJECT, "ID")
    region: str = option("us-central1", "where everything is", _REGION, "REGION")


@dataclasses.dataclass(frozen=True)
class Model:
    """What answers."""

    model_id: str = option(
        "countersign", "id of the model in the registry; each artefact is a version of it", _ID, "ID"
    )
    artifact: str = option("", "the artefact: a folder or a gs:// prefix", metavar="PATH")
    store: str = option("", "gs:// prefix below which artefacts are kept, each under its sha256", _PREFIX, "PREFIX")
    image: str = option("", "the prediction image, by digest: IMAGE@sha256:...", _PINNED, "IMAGE")
    serving_alias: str = option("champion", "alias of the version that has all traffic", _ALIAS, "ALIAS")
    candidate_alias: str = option("challenger", "alias of a version that has a part of it", _ALIAS, "ALIAS")
    gated: bool = option(True, "nothing gets all traffic in place of another version without passing the gate")
    tolerance: float = option(
        1.0, "points by which a candidate may err more than the serving version and still be promoted", between(0, 100)
    )


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """Where it answers."""

    endpoint_id: str = option("", "id of the endpoint", _ID, "ID")
    dedicated: bool = option(True, "an address of its own: 10 MB and an hour a request, not 1.5 MB and a minute")
    machine: str = option("n1-standard-2", "machine type of a replica", _MACHINE, "TYPE")
    min_replicas: int = option(1, "replicas that are always up, and billed", _whole(1, 1000))
    max_replicas: int = option(1, "replicas at most", _whole(1, 1000))
    target_cpu: int = option(60, "percent of CPU above which replicas are added", _whole(10, 90))
    traffic: int = option(100, "percent of the requests that a new version gets from apply", _whole(1, 100))
    keep_previous: bool = option(
        True, "leave the version before deployed, and billed, so that a rollback takes seconds"
    )
    remove_foreign: bool = option(
        False, "take the traffic of foreign models, which this tool did not deploy at the endpoint, and undeploy them"
    )
    service_account: str = option("", "as whom the container runs; the project's own if empty", _ACCOUNT, "EMAIL")
    smoke_requests: int = option(100, "requests that a version has to answer in a smoke test", _whole(1, 100_000))
    smoke_errors: float = option(1.0, "percent of a smoke test's requests that may fail", between(0, 100))
    log_container: bool = option(True, "keep what the server prints")
    log_requests: bool = option(False, "keep an access log: latency and size of each request, never its content")


@dataclasses.dataclass(frozen=True)
class Training:
    """How a training job runs; ``arguments`` say what it learns, ``train_dir`` from what."""

    training_image: str = option("", "image with the trainer, see docs/vertex.md", metavar="IMAGE")
    training_machine: str = option("n1-standard-8", "machine type of a worker", _MACHINE, "TYPE")
    accelerator: str = option("", "type of its GPUs, such as NVIDIA_TESLA_T4", _accelerator, "TYPE")
    accelerators: int = option(0, "GPUs of each worker", _whole(0, 16))
    workers: int = option(1, "machines that train together", _whole(1, 64))
    spot: bool = option(True, "cheaper machines that may be taken away; the job goes on from its checkpoint")
    timeout_hours: float = option(24.0, "hours after which the job is stopped", between(0.1, 168))
    training_account: str = option("", "as whom the job runs; the project's own if empty", _ACCOUNT, "EMAIL")
    train_dir: tuple[str, ...] = option(
        (), "data that a job learns from: gs:// path or LABEL=PATH; may be given several times", _matching(
            r"([^=/\s]+=)?(gs://[a-z0-9][\w.-]+(/\S*)?|/gcs/\S+)",
            "a gs:// path, LABEL=gs://... or /gcs/...; a folder of this machine is not where a job runs",
        ), "[LABEL=]PATH",
    )  # fmt: skip
    output: str = option("", "gs:// prefix below which each job has its folder", _PREFIX, "PREFIX")
    data_version: str = option("", "label of the job: which state of the data it learns from", _matching(
        r"[a-z0-9_-]{0,63}", "a label (up to 63 small letters, digits, _ and -)"), "LABEL")  # fmt: skip
    experiment: str = option("", "Vertex Experiment that keeps parameters, numbers and curves", _matching(
        r"|[a-z0-9][a-z0-9-]{0,127}", "an experiment's name (small letters, digits, dashes)"), "NAME")  # fmt: skip
    tensorboard: str = option("", "Vertex TensorBoard that shows the curves: projects/P/locations/R/tensorboards/N")
    arguments: tuple[str, ...] = option((), "flags of trainer.task", metavar="FLAG")


SECTIONS: dict[str, type] = {"place": Place, "model": Model, "endpoint": Endpoint, "training": Training}
NEEDED = {"plan": ("place.project", "model.artifact", "model.store", "model.image", "endpoint.endpoint_id"),
          "read": ("place.project", "endpoint.endpoint_id"),
          "train": ("place.project", "training.training_image", "training.output")}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Environment:
    """One environment, completely described. ``name`` is its file's."""

    name: str
    place: Place = Place()
    model: Model = Model()
    endpoint: Endpoint = Endpoint()
    training: Training = Training()
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def serving(self) -> Serving:
        """On what its versions answer."""
        on = self.endpoint
        return Serving(
            on.machine, on.min_replicas, on.max_replicas, on.target_cpu, on.service_account, on.log_requests,
            on.log_container,
        )  # fmt: skip

    def labelled(self) -> dict[str, str]:
        """The labels of everything that is made for it."""
        return {**self.labels, **MANAGED, "environment": as_label(self.name)}

    def stored(self, artifact_sha256: str) -> str:
        """Where an artefact is kept."""
        return f"{self.model.store.rstrip('/')}/{artifact_sha256[:DIGITS]}"


def find(name: str) -> Path:
    """The file of an environment: a name in ``deploy/environments``, or a path. Raises ``BadSetting``."""
    if name.endswith(".toml"):
        if Path(name).is_file():
            return Path(name)
        raise BadSetting(f"there is no file {name!r}")
    known = sorted(path.stem for path in FOLDER.glob("*.toml"))
    if name not in known:
        raise BadSetting(f"no environment {name!r}{nearest(name, known) or ';'} there is: {', '.join(known)}")
    return FOLDER / f"{name}.toml"


def load(name: str, given: Mapping[str, Any], use: str) -> Environment:
    """The environment ``name`` with what the command line gave instead; ``use`` says what for, so what has to be there.

    Raises ``BadSetting`` that names file and key.
    """
    path = find(name)
    try:
        tables = toml.loads(path.read_text())
    except (ValueError, OSError) as error:
        raise BadSetting(f"{str(path)!r} is not TOML: {error}") from None
    unknown = [name for name in tables if name not in (*SECTIONS, "labels")]
    if unknown:
        raise BadSetting(f"{str(path)!r}: unknown table [{unknown[0]}]{nearest(unknown[0], [*SECTIONS, 'labels'])}")
    sections = {}
    for section, settings in SECTIONS.items():
        table = tables.get(section, {})
        if not isinstance(table, dict):
            raise BadSetting(f"{str(path)!r}: {section!r} is {table!r}; it has to be a table [{section}]")
        fields, where = {field.name for field in dataclasses.fields(settings)}, f"{str(path)!r} [{section}]"
        current = with_current_names(table, renamed(settings), where)
        values = {**current, **{key: value for key, value in given.items() if key in fields}}
        sections[section] = settings(**parsed(settings, values, where))
    found = Environment(path.stem, labels=_labels(tables.get("labels", {}), path), **sections)
    _check(found, path, use)
    return found


def _check(found: Environment, path: Path, use: str) -> None:
    for key in NEEDED[use]:
        section, name = key.split(".")
        if not getattr(getattr(found, section), name):
            raise BadSetting(f"{str(path)!r} [{section}]: {name} is missing; or give --{name.replace('_', '-')}")
    if found.endpoint.max_replicas < found.endpoint.min_replicas:
        raise BadSetting(
            f"{str(path)!r} [endpoint]: max_replicas: {found.endpoint.max_replicas} is less than min_replicas "
            f"{found.endpoint.min_replicas}"
        )
    serving, candidate = found.model.serving_alias, found.model.candidate_alias
    if "default" in (serving, candidate) or candidate in (serving, f"{serving}-before"):
        raise BadSetting(
            f"{str(path)!r} [model]: serving_alias and candidate_alias have to differ, and be neither 'default', which "
            f"Vertex AI keeps for itself, nor {serving}-before, whom a rollback returns to"
        )
    if bool(found.training.accelerator) != bool(found.training.accelerators):
        raise BadSetting(f"{str(path)!r} [training]: accelerator and accelerators go together")


def _labels(table: Any, path: Path) -> dict[str, str]:
    if not isinstance(table, dict):
        raise BadSetting(f"{str(path)!r}: 'labels' is {table!r}; it has to be a table [labels]")
    for key, value in table.items():
        if not _LABEL_KEY.fullmatch(key) or not isinstance(value, str) or not _LABEL_VALUE.fullmatch(value):
            raise BadSetting(
                f"{str(path)!r} [labels]: {key}: {value!r}: keys and values are up to 63 small letters, digits, _ and -"
            )
    return table


def as_label(text: str) -> str:
    """A text as near to a label of Vertex AI as it can be."""
    return re.sub(r"[^a-z0-9_-]", "-", text.lower())[:63]
