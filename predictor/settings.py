"""Every setting of the server, once; flags, environment and ``--help`` derive from the fields.

Settings decide only whether and when an answer arrives, never which one: that lives in the artefact.
"""

import dataclasses
import ipaddress
import os
from collections.abc import Mapping

from predictor.vcpus import vcpus
from trainer.artifact import engine
from trainer.settings.flags import Parser, between, given, one_of, option, parsed

MODES = ("prod", "dev")


def _route(value: str) -> str:
    if not str(value).startswith("/") or set("{}") & set(str(value)):
        raise ValueError(f"{value!r} is no route; it has to begin with '/' and hold no braces")
    return str(value)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Serving.

    Vertex AI sets AIP_STORAGE_URI, AIP_HTTP_PORT, AIP_HEALTH_ROUTE and AIP_PREDICT_ROUTE, Cloud Run sets PORT; a flag
    wins over both. ENV_MODE sets the mode.
    """

    model: str = option("", "the artefact: a folder or a gs:// prefix", metavar="PATH")
    host: str = option(
        "127.0.0.1", "address to listen on; 0.0.0.0 where Vertex AI or Cloud Run set a port", metavar="ADDRESS"
    )
    port: int = option(8080, "port to listen on", between(0, 65535, int))
    health_route: str = option("/health", "where health is asked", _route, "ROUTE")
    predict_route: str = option("/predict", "where predictions are asked", _route, "ROUTE")
    engine: str = option("litert", f"what computes: {', '.join(engine.KINDS)}", one_of(*engine.KINDS), "NAME")
    mode: str = option("prod", "dev adds the training card and the interactive documentation", one_of(*MODES), "NAME")
    allow_remote_training: bool = option(
        False,
        "let mode dev listen on an address that other machines reach: whoever reaches it may train and load models",
    )
    max_upload_bytes: int = option(
        1_000_000_000, "largest zip of images that mode dev takes to train on", between(1000, 100_000_000_000, int)
    )
    threads: int = option(vcpus(), "images worked on at the same time; one for each vCPU is best", between(1, 256, int))
    waiting: int = option(256, "images that may wait beyond those; more are refused at once", between(0, 100_000, int))
    deadline: float = option(30.0, "seconds a request may take, from its first byte to its answer", between(0.1, 3600))
    max_body_bytes: int = option(
        10_000_000,
        "largest request; a dedicated Vertex endpoint takes 10 MB, a shared one 1.5 MB",
        between(1000, 1_000_000_000, int),
    )
    max_waiting_bytes: int = option(
        64_000_000, "bytes of requests kept at the same time; more are refused", between(1000, 100_000_000_000, int)
    )
    max_instances: int = option(256, "most images in one request", between(1, 100_000, int))
    max_image_bytes: int = option(8_000_000, "largest image file", between(1000, 1_000_000_000, int))
    max_image_pixels: int = option(
        50_000_000, "largest image, width times height, checked before it is decoded", between(1000, 1_000_000_000, int)
    )


VERTEX = {
    "AIP_STORAGE_URI": "model", "PORT": "port", "AIP_HTTP_PORT": "port",
    "AIP_HEALTH_ROUTE": "health_route", "AIP_PREDICT_ROUTE": "predict_route", "ENV_MODE": "mode",
}  # fmt: skip


def from_command_line(arguments: list[str] | None = None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Flags and environment to ``Settings``; exits with a message on anything unknown."""
    flags = Parser(prog="python -m predictor", description="Serve an exported model over HTTP.")
    flags.add_settings(Settings)
    options = flags.parse_args(arguments)
    from_platform = {field: environment[name] for name, field in VERTEX.items() if environment.get(name)}
    if "port" in from_platform:
        from_platform["host"] = "0.0.0.0"  # noqa: S104 - inside a container this is the contract
    try:
        values = {**parsed(Settings, from_platform, "environment"), **given(Settings, options)}
    except ValueError as error:
        flags.error(str(error))
    settings = Settings(**values)
    if not settings.model and settings.mode != "dev":
        flags.error("no model: give --model PATH or set AIP_STORAGE_URI; with ENV_MODE=dev the page can train one")
    if settings.mode == "dev" and not settings.allow_remote_training and not _is_loopback(settings.host):
        flags.error(
            f"development mode listens on this machine only, not on {settings.host}: whoever reaches it may train and "
            "load models; --allow-remote-training allows that, or use ENV_MODE=prod"
        )
    return settings


def _is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
