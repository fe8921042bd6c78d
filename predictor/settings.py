"""All settings of the server; flags, environment variables and ``--help`` derive from the fields of ``Settings``.

Settings affect whether and when a request is answered, never the answer itself: that depends on the artefact alone.
Next: ``app.py``, which uses them.
"""

import dataclasses
import ipaddress
import os
from collections.abc import Mapping

from predictor.vcpus import count_vcpus
from trainer import ready
from trainer.artifact import engine
from trainer.artifact.manifest import BadArtifact
from trainer.settings.flags import Parser, between, get_flag_values, one_of, option, parse_values

MODES = ("prod", "dev")


def _parse_route(value: str) -> str:
    """Check the path of a route. Raises ``ValueError``."""
    if not str(value).startswith("/") or set("{}") & set(str(value)):
        raise ValueError(f"{value!r} is no route; it has to begin with '/' and contain no braces")
    return str(value)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Serving.

    Vertex AI sets AIP_STORAGE_URI, AIP_HTTP_PORT, AIP_HEALTH_ROUTE and AIP_PREDICT_ROUTE, Cloud Run sets PORT; a flag
    wins over both. ENV_MODE sets the mode, COUNTERSIGN_VERIFIER the verifier and COUNTERSIGN_CLASSIFIER the
    classifier, COUNTERSIGN_PEOPLE and COUNTERSIGN_PEOPLE_KEY the writers on file. On Vertex AI the
    artefact has to be named.
    """

    artifact: str = option(
        "",
        f"the artefact: a folder, a gs:// prefix or ready:NAME; if none is named, {ready.FINDER}",
        metavar="PATH",
        was="model",
    )
    verifier: str = option(
        "",
        "an artefact that compares signatures, beside one that finds or classifies; if no artefact is named, "
        f"{ready.VERIFIER}, else none",
        metavar="PATH",
    )
    classifier: str = option(
        "",
        "an artefact that classifies single images beside one that finds signatures on pages; if no artefact is named, "
        f"{ready.CLASSIFIER}, else the part of the artefact, if it has one",
        metavar="PATH",
    )
    people: str = option(
        "",
        "writers on file, to verify against and identify: a file of trainer.enrol, local or at gs://; mode dev "
        "creates and changes a local one",
        metavar="PATH",
    )
    people_key: str = option("", "file of the key that the writers on file are encrypted with", metavar="FILE")
    people_reload: float = option(
        30.0, "seconds after which a change of the file of writers is noticed", between(0.1, 86400)
    )
    host: str = option(
        "127.0.0.1", "address to listen on; 0.0.0.0 where Vertex AI or Cloud Run set a port", metavar="ADDRESS"
    )
    port: int = option(8080, "port to listen on", between(0, 65535, int))
    health_route: str = option("/health", "path of the health check", _parse_route, "ROUTE")
    predict_route: str = option("/predict", "path of predictions", _parse_route, "ROUTE")
    engine: str = option(
        "litert", f"engine that computes vectors: {', '.join(engine.ENGINES)}", one_of(*engine.ENGINES), "NAME"
    )
    mode: str = option(
        "prod", "dev adds training from the page and the interactive documentation", one_of(*MODES), "NAME"
    )
    allow_remote_training: bool = option(
        False,
        "let mode dev listen on an address that other machines reach: whoever reaches it may train and load models",
    )
    max_upload_bytes: int = option(
        1_000_000_000, "largest zip of images that mode dev accepts for training", between(1000, 100_000_000_000, int)
    )
    threads: int = option(
        count_vcpus(), "images processed at the same time; best is one for each vCPU", between(1, 256, int)
    )
    max_waiting_images: int = option(
        256, "images that may wait for a thread; more are refused at once", between(0, 100_000, int), was="waiting"
    )
    deadline: float = option(
        30.0, "seconds that a request may take, from its first byte to its answer", between(0.1, 3600)
    )
    max_body_bytes: int = option(
        10_000_000,
        "largest request; a dedicated Vertex endpoint accepts 10 MB, a shared one 1.5 MB",
        between(1000, 1_000_000_000, int),
    )
    max_waiting_bytes: int = option(
        64_000_000,
        "bytes of requests that are buffered at the same time; more are refused",
        between(1000, 100_000_000_000, int),
    )
    max_instances: int = option(256, "most images in one request", between(1, 100_000, int))
    max_image_bytes: int = option(8_000_000, "largest image file", between(1000, 1_000_000_000, int))
    max_pages: int = option(100, "most pages of a document", between(1, 10_000, int))
    max_image_pixels: int = option(
        50_000_000, "largest image, width times height, checked before it is decoded", between(1000, 1_000_000_000, int)
    )


ENVIRONMENT = {  # variable: field; of two variables for one field the later one wins
    "AIP_STORAGE_URI": "artifact",
    "PORT": "port",
    "AIP_HTTP_PORT": "port",
    "AIP_HEALTH_ROUTE": "health_route",
    "AIP_PREDICT_ROUTE": "predict_route",
    "ENV_MODE": "mode",
    "COUNTERSIGN_VERIFIER": "verifier",
    "COUNTERSIGN_CLASSIFIER": "classifier",
    "COUNTERSIGN_PEOPLE": "people",
    "COUNTERSIGN_PEOPLE_KEY": "people_key",
}


def from_command_line(arguments: list[str] | None = None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings from flags and environment; exit with a message if one is unknown or invalid."""
    parser = Parser(prog="python -m predictor", description="Serve an exported model over HTTP.")
    parser.add_settings(Settings)
    options = parser.parse_args(arguments)
    from_platform = {field: environment[name] for name, field in ENVIRONMENT.items() if environment.get(name)}
    if "port" in from_platform:
        from_platform["host"] = "0.0.0.0"  # noqa: S104 - the contract of containers on Vertex AI and Cloud Run
    try:
        values = {**parse_values(Settings, from_platform, "environment"), **get_flag_values(Settings, options)}
    except ValueError as error:
        parser.error(str(error))
    settings = Settings(**values)
    try:
        if not settings.artifact:
            settings = _name_ready_artifacts(settings, environment)
    except BadArtifact as error:
        parser.error(f"no model: {error}")
    if settings.mode == "dev" and not settings.allow_remote_training and not _is_loopback(settings.host):
        parser.error(
            f"development mode listens on this machine only, not on {settings.host}: whoever reaches it may train and "
            "load models; --allow-remote-training allows that, or use ENV_MODE=prod"
        )
    return settings


def _name_ready_artifacts(settings: Settings, environment: Mapping[str, str]) -> Settings:
    """Return the settings of a server to which no artefact was named: the whole chain, as far as it is installed.

    Without any, mode dev has to train one first. Raises ``BadArtifact`` if there is none, and on Vertex AI: a
    deployment that lost the name of its model must not answer with another one.
    """
    if environment.get("AIP_HTTP_PORT"):
        raise BadArtifact(
            "Vertex AI names none, AIP_STORAGE_URI is empty: register the model with its artefact, or give "
            f"--artifact, such as {ready.CLASSIFIER}, as an argument of the container"
        )
    chain = ready.find_chain()
    if not chain:
        if settings.mode == "dev":
            return settings
        try:
            ready.resolve(ready.CLASSIFIER)
        except BadArtifact as error:
            raise BadArtifact(
                f"give --artifact PATH or set AIP_STORAGE_URI, because {error}; with ENV_MODE=dev the page can train "
                "one"
            ) from None
    named = {name: value for name, value in dataclasses.asdict(settings).items() if name in chain and value}
    return dataclasses.replace(settings, **{**chain, **named})


def _is_loopback(host: str) -> bool:
    """Return whether an address can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
