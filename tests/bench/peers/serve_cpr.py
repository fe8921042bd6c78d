"""Vertex AI's Custom Prediction Routines: its model server and its handler. Next: ``common.py``."""

import os

import uvicorn
from google.cloud.aiplatform.prediction.predictor import Predictor

from tests.bench.peers import PORT, WORKERS


class Signatures(Predictor):
    """The predictor, which each worker loads."""

    def load(self, artifacts_uri: str) -> None:
        from tests.bench.peers.common import Encoder  # only the workers import TensorFlow

        self._encoder = Encoder()

    def predict(self, instances):
        return {"predictions": [{"embedding": vector} for vector in self._encoder(instances["instances"])]}


if __name__ == "__main__":
    os.environ.update(
        HANDLER_MODULE="google.cloud.aiplatform.prediction.handler",
        HANDLER_CLASS="PredictionHandler",
        PREDICTOR_MODULE="tests.bench.peers.serve_cpr",
        PREDICTOR_CLASS="Signatures",
        AIP_HEALTH_ROUTE="/health",
        AIP_PREDICT_ROUTE="/predict",
    )
    server = "google.cloud.aiplatform.prediction.model_server:CprModelServer"
    uvicorn.run(
        server,
        host="127.0.0.1",
        port=PORT,
        factory=True,
        workers=WORKERS,
        log_level="warning",
        timeout_worker_healthcheck=120,  # by default a worker that imports TensorFlow for 5 s is killed
    )
