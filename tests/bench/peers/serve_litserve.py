"""LitServe: a web process, and one worker for each core. Next: ``common.py``."""

import litserve

from tests.bench.peers import PORT, WORKERS


class Signatures(litserve.LitAPI):
    """The API, which decodes, computes and encodes in the worker."""

    def setup(self, device):
        from tests.bench.peers.common import Encoder  # only the workers import TensorFlow

        self._encoder = Encoder()

    def decode_request(self, request):
        return request["instances"]

    def predict(self, instances):
        return self._encoder(instances)

    def encode_response(self, output):
        return {"predictions": [{"embedding": vector} for vector in output]}


if __name__ == "__main__":
    server = litserve.LitServer(Signatures(), accelerator="cpu", workers_per_device=WORKERS, timeout=60)
    server.run(host="127.0.0.1", port=PORT, log_level="warning", generate_client_file=False)
