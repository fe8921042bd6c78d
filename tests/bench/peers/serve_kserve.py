"""KServe's model server, with version 1 of its protocol. Next: ``common.py``."""

import logging

import kserve

from tests.bench.peers import PORT, WORKERS

logging.disable(logging.INFO)  # it would log two lines for each request, in every worker


class Signatures(kserve.Model):
    """``POST /v1/models/signatures:predict``."""

    def __init__(self):
        super().__init__("signatures")
        self._encoder = None

    def load(self):
        from tests.bench.peers.common import Encoder  # only the workers import TensorFlow

        self._encoder = Encoder()
        self.ready = True
        return self.ready

    def predict(self, payload, headers=None, response_headers=None):
        if self._encoder is None:
            self.load()
        return {"predictions": [{"embedding": vector} for vector in self._encoder(payload["instances"])]}


if __name__ == "__main__":
    model = Signatures()
    model.ready = True  # each worker loads its model at its first request
    server = kserve.ModelServer(http_port=PORT, workers=WORKERS, enable_grpc=False, access_log_format=None)
    server.start([model])
