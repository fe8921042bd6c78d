"""LitServe: a web process and one worker a core."""

import litserve

from tests.bench.peers import PORT, WORKERS


class Signatures(litserve.LitAPI):
    """Decodes, computes and encodes in the worker."""

    def setup(self, device):
        from tests.bench.peers.common import Encoder  # TensorFlow is the workers' only

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
