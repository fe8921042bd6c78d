"""The simplest server: FastAPI, and Keras' ``model.predict`` in the thread of a route. Next: ``common.py``."""

import base64

import fastapi
import keras
import numpy as np
import uvicorn

from tests.bench.peers import MODEL, PORT
from tests.bench.peers.common import Encoder
from trainer.imaging import canonicalise

app = fastapi.FastAPI()
encoder = Encoder()
height, width = encoder._imaging.height, encoder._imaging.width
inputs = keras.Input((height, width, 1), dtype="uint8")
model = keras.Model(inputs, keras.layers.TFSMLayer(str(MODEL), call_endpoint="serve")(inputs))


@app.get("/health")
def health():
    return {}


@app.post("/predict")
def predict(body: dict):
    images = [canonicalise(base64.b64decode(i["image"]["b64"]), encoder._imaging).image for i in body["instances"]]
    vectors = model.predict(np.stack(images), verbose=0)
    return {"predictions": [{"embedding": vector} for vector in vectors.tolist()]}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning")
