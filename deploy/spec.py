"""``deploy/environments/*.toml``: the settings of an environment. Every key is checked; errors name file and key.

A setting stands once, as a field of a dataclass below: TOML keys, flags and ``--help`` derive from the fields.
Independent of the SDK. Next: ``plan.py`` plans the steps to an environment, ``jobs.py`` makes training jobs of
``[training]``, ``preparation_job.py`` those that prepare data of ``[preparation]``.
"""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy import formats
from deploy.live_state import DIGEST_DIGITS, ServingConfig
from trainer.settings import toml
from trainer.settings.flags import BadSetting, between, get_old_names, option, parse_values, use_current_names
from trainer.settings.spelling import suggest_nearest

ENVIRONMENTS_DIR = Path(__file__).parent / "environments"
MANAGED_LABELS = {"managed-by": "countersign"}
_whole = lambda low, high: between(low, high, int)  # noqa: E731
_LABEL_KEY, _LABEL_VALUE = re.compile(r"[a-z][a-z0-9_-]{0,62}"), re.compile(r"[a-z0-9_-]{0,63}")


@dataclasses.dataclass(frozen=True)
class LocationSettings:
    """Project and region."""

    project: str = option("", "project id; never inferred", formats.PROJECT_ID, "ID")
    region: str = option("us-central1", "region of all resources", formats.REGION, "REGION")


@dataclasses.dataclass(frozen=True)
class RegisteredModelSettings:
    """The model version that answers, and its place in the registry."""

    model_id: str = option(
        "countersign", "id of the model in the registry; each artefact is a version of it", formats.RESOURCE_ID, "ID"
    )
    artifact: str = option("", "the artefact: a folder, a gs:// prefix or ready:NAME", metavar="PATH")
    store: str = option(
        "", "gs:// prefix below which artefacts are kept, each under its sha256", formats.GS_PREFIX, "PREFIX"
    )
    image: str = option("", "the prediction image, by digest: IMAGE@sha256:...", formats.PINNED_IMAGE, "IMAGE")
    serving_alias: str = option("champion", "alias of the version that has all traffic", formats.ALIAS, "ALIAS")
    candidate_alias: str = option(
        "challenger", "alias of a version that has a part of the traffic", formats.ALIAS, "ALIAS"
    )
    gated: bool = option(True, "give all traffic to a version in place of another only if it passes the gate")
    max_error_increase: float = option(
        1.0,
        "points by which an error rate of a candidate may exceed that of the serving version",
        between(0, 100),
        was="tolerance",
    )


@dataclasses.dataclass(frozen=True)
class EndpointSettings:
    """The endpoint and its machines."""

    endpoint_id: str = option("", "id of the endpoint", formats.RESOURCE_ID, "ID")
    dedicated: bool = option(True, "an endpoint with an address of its own: 10 MB and an hour a request, not 1.5 MB")
    machine_type: str = option(
        "n1-standard-2", "machine type of a replica", formats.MACHINE_TYPE, "TYPE", was="machine"
    )
    min_replicas: int = option(1, "smallest number of replicas; these always run, and are billed", _whole(1, 1000))
    max_replicas: int = option(1, "largest number of replicas", _whole(1, 1000))
    target_cpu: int = option(60, "percent of CPU utilization above which replicas are added", _whole(10, 90))
    traffic_percentage: int = option(
        100, "percent of the requests that apply gives to a new version", _whole(1, 100), was="traffic"
    )
    keep_previous: bool = option(
        True, "leave the previous version deployed, and billed, so that a rollback takes seconds"
    )
    remove_foreign: bool = option(
        False, "take the traffic of foreign models, which this tool did not deploy at the endpoint, and undeploy them"
    )
    service_account: str = option(
        "", "service account of the container; the project's default if empty", formats.SERVICE_ACCOUNT, "EMAIL"
    )
    smoke_requests: int = option(100, "requests that a version has to answer in a smoke test", _whole(1, 100_000))
    smoke_errors: float = option(1.0, "percent of a smoke test's requests that may fail", between(0, 100))
    container_logging: bool = option(True, "keep the output of the server", was="log_container")
    access_logging: bool = option(
        False, "keep an access log: latency and size of each request, never its content", was="log_requests"
    )


@dataclasses.dataclass(frozen=True)
class JobSettings:
    """Jobs: data, output and time; of a training and of the preparation of its data."""

    train_dir: tuple[str, ...] = option(
        (),
        "training data of a job: gs:// path or LABEL=PATH; may be given several times",
        formats.DATA_PATH,
        "[LABEL=]PATH",
    )
    output: str = option("", "gs:// prefix below which each job has its folder", formats.GS_PREFIX, "PREFIX")
    data_version: str = option("", "label of the job: version of its training data", formats.LABEL, "LABEL")
    timeout_hours: float = option(24.0, "hours after which the job is stopped", between(0.1, 168))
    arguments: tuple[str, ...] = option((), "flags of trainer.task", metavar="FLAG")


@dataclasses.dataclass(frozen=True)
class TrainingJobSettings(JobSettings):
    """Training jobs: machines and experiments."""

    training_image: str = option("", "image with the trainer, see docs/vertex.md", metavar="IMAGE")
    training_machine_type: str = option(
        "n1-standard-8", "machine type of a worker", formats.MACHINE_TYPE, "TYPE", was="training_machine"
    )
    accelerator_type: str = option(
        "", "type of a worker's GPUs, such as NVIDIA_TESLA_T4", formats.accelerator_type, "TYPE", was="accelerator"
    )
    accelerator_count: int = option(0, "GPUs of each worker", _whole(0, 16), was="accelerators")
    workers: int = option(1, "machines that train together", _whole(1, 64))
    spot: bool = option(True, "cheaper machines that may be taken away; the job resumes from its checkpoint")
    training_service_account: str = option(
        "",
        "service account of the job; the project's default if empty",
        formats.SERVICE_ACCOUNT,
        "EMAIL",
        was="training_account",
    )
    experiment: str = option(
        "", "Vertex Experiment that keeps parameters, metrics and curves", formats.EXPERIMENT, "NAME"
    )
    tensorboard: str = option("", "Vertex TensorBoard that shows the curves: projects/P/locations/R/tensorboards/N")


@dataclasses.dataclass(frozen=True)
class PreparationSettings:
    """Preparing data on Dataflow: the machine that submits its jobs, and their workers."""

    preparation_image: str = option("", "image of driver and workers, see docs/preparing.md", metavar="IMAGE")
    driver_machine_type: str = option(
        "n1-standard-4",
        "machine type of the job on Vertex AI that submits those of Dataflow",
        formats.MACHINE_TYPE,
        "TYPE",
    )
    worker_machine_type: str = option(
        "n1-standard-4",
        "machine type of a worker of Dataflow: 1.5 GB or more for each core",
        formats.MACHINE_TYPE,
        "TYPE",
    )
    max_workers: int = option(20, "largest number of workers; Dataflow adds and removes them", _whole(1, 1000))
    worker_disk_gb: int = option(50, "disk of a worker in GB", _whole(30, 2000))
    preparation_service_account: str = option(
        "", "service account of driver and workers; the project's default if empty", formats.SERVICE_ACCOUNT, "EMAIL"
    )
    beam_options: tuple[str, ...] = option(
        (), "further options of Beam, such as --subnetwork=...", formats.BEAM_OPTION, "OPTION"
    )


SECTIONS: dict[str, type] = {
    "location": LocationSettings,
    "model": RegisteredModelSettings,
    "endpoint": EndpointSettings,
    "training": TrainingJobSettings,
    "preparation": PreparationSettings,
}
OLD_SECTIONS = {"place": "location"}  # accepted with a warning until the next release
REQUIRED_KEYS = {  # by purpose
    "plan": ("location.project", "model.artifact", "model.store", "model.image", "endpoint.endpoint_id"),
    "read": ("location.project", "endpoint.endpoint_id"),
    "train": ("location.project", "training.training_image", "training.output"),
    "prepare": ("location.project", "preparation.preparation_image", "training.train_dir", "training.output"),
}


@dataclasses.dataclass(frozen=True)
class Environment:
    """One environment with all its settings. ``name`` is that of its file."""

    name: str
    location: LocationSettings = LocationSettings()
    model: RegisteredModelSettings = RegisteredModelSettings()
    endpoint: EndpointSettings = EndpointSettings()
    training: TrainingJobSettings = TrainingJobSettings()
    preparation: PreparationSettings = PreparationSettings()
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def serving_config(self) -> ServingConfig:
        """The machines and logs of its deployments."""
        settings = self.endpoint
        return ServingConfig(
            settings.machine_type,
            settings.min_replicas,
            settings.max_replicas,
            settings.target_cpu,
            settings.service_account,
            settings.access_logging,
            settings.container_logging,
        )

    def resource_labels(self) -> dict[str, str]:
        """Return the labels of all resources of the environment."""
        return {**self.labels, **MANAGED_LABELS, "environment": to_label(self.name)}

    def artifact_uri(self, artifact_sha256: str) -> str:
        """Return where the store keeps an artefact."""
        return f"{self.model.store.rstrip('/')}/{artifact_sha256[:DIGEST_DIGITS]}"


def find_file(name: str) -> Path:
    """Return the file of an environment: a name in ``deploy/environments``, or a path. Raises ``BadSetting``."""
    if name.endswith(".toml"):
        if Path(name).is_file():
            return Path(name)
        raise BadSetting(f"there is no file {name!r}")
    known = sorted(path.stem for path in ENVIRONMENTS_DIR.glob("*.toml"))
    if name not in known:
        raise BadSetting(f"no environment {name!r}{suggest_nearest(name, known) or ';'} there is: {', '.join(known)}")
    return ENVIRONMENTS_DIR / f"{name}.toml"


def load(name: str, overrides: Mapping[str, Any], purpose: str) -> Environment:
    """Read an environment; ``overrides`` are settings of the command line, by field name.

    ``purpose`` is a key of ``REQUIRED_KEYS``. Raises ``BadSetting`` that names file and key.
    """
    path = find_file(name)
    try:
        tables = toml.loads(path.read_text())
    except (ValueError, OSError) as error:
        raise BadSetting(f"{str(path)!r} is not TOML: {error}") from None
    tables = use_current_names(tables, OLD_SECTIONS, repr(str(path)))
    unknown = [name for name in tables if name not in (*SECTIONS, "labels")]
    if unknown:
        raise BadSetting(
            f"{str(path)!r}: unknown table [{unknown[0]}]{suggest_nearest(unknown[0], [*SECTIONS, 'labels'])}"
        )
    sections = {}
    for section, settings in SECTIONS.items():
        table = tables.get(section, {})
        if not isinstance(table, dict):
            raise BadSetting(f"{str(path)!r}: {section!r} is {table!r}; it has to be a table [{section}]")
        fields = {field.name for field in dataclasses.fields(settings)}
        where = f"{str(path)!r} [{section}]"
        current = use_current_names(table, get_old_names(settings), where)
        values = {**current, **{key: value for key, value in overrides.items() if key in fields}}
        sections[section] = settings(**parse_values(settings, values, where))
    environment = Environment(path.stem, labels=_parse_labels(tables.get("labels", {}), path), **sections)
    _check(environment, path, purpose)
    return environment


def _check(environment: Environment, path: Path, purpose: str) -> None:
    """Raise ``BadSetting`` for a missing key and for settings that contradict each other."""
    for key in REQUIRED_KEYS[purpose]:
        section, name = key.split(".")
        if not getattr(getattr(environment, section), name):
            raise BadSetting(f"{str(path)!r} [{section}]: {name} is missing; or give --{name.replace('_', '-')}")
    endpoint = environment.endpoint
    if endpoint.max_replicas < endpoint.min_replicas:
        raise BadSetting(
            f"{str(path)!r} [endpoint]: max_replicas: {endpoint.max_replicas} is less than min_replicas "
            f"{endpoint.min_replicas}"
        )
    serving, candidate = environment.model.serving_alias, environment.model.candidate_alias
    if "default" in (serving, candidate) or candidate in (serving, f"{serving}-before"):
        raise BadSetting(
            f"{str(path)!r} [model]: serving_alias and candidate_alias have to differ, and can be neither 'default', "
            f"which Vertex AI reserves, nor {serving}-before, the alias of the rollback target"
        )
    if bool(environment.training.accelerator_type) != bool(environment.training.accelerator_count):
        raise BadSetting(f"{str(path)!r} [training]: accelerator_type and accelerator_count go together")


def _parse_labels(table: Any, path: Path) -> dict[str, str]:
    if not isinstance(table, dict):
        raise BadSetting(f"{str(path)!r}: 'labels' is {table!r}; it has to be a table [labels]")
    for key, value in table.items():
        if not _LABEL_KEY.fullmatch(key) or not isinstance(value, str) or not _LABEL_VALUE.fullmatch(value):
            raise BadSetting(
                f"{str(path)!r} [labels]: {key}: {value!r}: keys and values are up to 63 small letters, digits, _ and -"
            )
    return table


def to_label(text: str) -> str:
    """Return the text with each character that a label of Vertex AI cannot have replaced, at most 63 characters."""
    return re.sub(r"[^a-z0-9_-]", "-", text.lower())[:63]
