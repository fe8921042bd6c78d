"""A request passes the six stations of the server in order, each once."""

import asyncio
import functools
import inspect

import httpx
import pytest

from predictor import schema
from predictor.app import PredictionServer, create_app
from predictor.executor import Executor
from predictor.models import Models
from predictor.request import build_body
from predictor.service import Service
from predictor.settings import Settings
from trainer.artifact.artifact import Artifact

STATIONS = [
    (PredictionServer, "predict"),
    (schema, "parse_json"),
    (Service, "answer"),
    (Executor, "reserve"),
    (Artifact, "encode"),
    (Artifact, "decide"),
]


@pytest.fixture
def calls(monkeypatch) -> list[str]:
    """The names of the stations in the order of their calls, each of which is passed on."""
    names: list[str] = []

    def record(name, function):
        @functools.wraps(function)
        def call(*arguments, **options):
            names.append(name)
            return function(*arguments, **options)

        @functools.wraps(function)
        async def call_async(*arguments, **options):
            return await call(*arguments, **options)

        return call_async if inspect.iscoroutinefunction(function) else call

    for owner, name in STATIONS:
        monkeypatch.setattr(owner, name, record(name, getattr(owner, name)))
    return names


def test_a_request_passes_the_six_stations_in_order_each_once(
    calls, verifier_artifact, verifier_server, verification_data
):
    """Only ``encode`` is called twice, for the questioned image and for its reference."""
    questioned, reference = (path.read_bytes() for path in sorted((verification_data / "007").iterdir())[:2])
    body = build_body([questioned], [reference])
    settings = Settings(artifact=str(verifier_artifact), threads=1)
    service = Service(settings, Models.open)

    async def send() -> httpx.Response:
        app = create_app(settings, service, on_load_failure=lambda: None)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:
            return await client.post("/predict", content=body)

    try:
        service.load()
        calls.clear()  # of the golden answers
        response = asyncio.run(send())
    finally:
        service.executor.close()
    assert calls == ["predict", "parse_json", "answer", "reserve", "encode", "encode", "decide"]
    (prediction,) = response.json()["predictions"]
    (expected,) = httpx.post(verifier_server + "/predict", content=body).json()["predictions"]
    assert prediction["decision"] == expected["decision"]
    assert prediction["score"] == pytest.approx(expected["score"], abs=1e-5)
