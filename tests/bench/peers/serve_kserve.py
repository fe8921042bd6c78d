"""KServe's model server, its first protocol."""

import logging

import kserve

from tests.bench.peers import PORT, WORKERS

logging.disable(logging.INFO)  # two lines a request, in every worker


class Signatures(kserve.Model):
    """``POST /v1/models/signatures:predict``."""

    def __init__(self):
        super().__init__("signatures")
        self._encoder = None

    def load(self):
        from tests.bench.peers.common import Encoder  # TensorFlow is the workers' only

        self._encoder = Encoder()
        self.ready = True
        return self.ready

    def predict(self, payload, headers=None, response_headers=None):
        if self._encoder is None:
            self.load()
        return {"predictions": [{"embedding": vector} for vector in self._encoder(payload["instances"])]}


if __name__ == "__main__":
    model = Signatures()
    model.ready = True  # each worker loads its own
    server = kserve.ModelServer(http_port=PORT, workers=WORKERS, enable_grpc=False, access_log_format=None)
    server.start([model])
