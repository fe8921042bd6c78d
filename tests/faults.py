"""A proxy between the real Cloud Storage client and the emulator that breaks what it is told to break.

``with FaultProxy(upstream) as proxy: proxy.fail("reset", "GET", "/o/", times=1)``. State is inspectable: ``proxy.log``
holds (method, path) of every request.
"""

import contextlib
import http.client
import http.server
import socket
import struct
import threading
import time
import urllib.parse

KINDS = ("reset", "401", "403", "503", "flip", "flip request", "hang", "lost")


class FaultProxy:
    """Forwards HTTP; each planned fault strikes the first requests that match, so many times."""

    def __init__(self, upstream: str):
        self.upstream = urllib.parse.urlparse(upstream)
        self.log: list[tuple[str, str]] = []
        self.hang = threading.Event()  # set at the end: whoever hangs is let go
        self._planned: list[list] = []
        self._lock = threading.Lock()
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def fail(self, kind: str, method: str, path: str, times: int = 1) -> None:
        """Plan a fault."""
        assert kind in KINDS
        self._planned.append([kind, method, path, times])

    def planned(self, method: str, path: str) -> str | None:
        """The fault for a request, used up by asking."""
        with self._lock:
            self.log.append((method, path))
            for fault in self._planned:
                if fault[3] and fault[1] == method and fault[2] in urllib.parse.unquote(path):
                    fault[3] -= 1
                    return fault[0]
        return None

    @property
    def left(self) -> int:
        """Faults that have not struck."""
        return sum(fault[3] for fault in self._planned)

    def requests(self, method: str, path: str) -> int:
        """How many requests matched."""
        return sum(m == method and path in urllib.parse.unquote(p) for m, p in self.log)

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.hang.set()
        self._server.shutdown()
        self._server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    owner: FaultProxy
    protocol_version = "HTTP/1.1"

    def _forward(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.owner.planned(self.command, self.path)
        if fault and fault.isdigit():
            self.send_response(int(fault))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if fault == "hang":
            self.owner.hang.wait(30)
            self._drop()
            return
        if fault == "flip request":
            body = _flipped(body)
        status, headers, content = self._ask(body)
        if fault == "lost":
            self._drop()
            return
        if fault == "flip":
            content = _flipped(content)
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, self._ours(value))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if fault == "reset":
            self.wfile.write(content[: len(content) // 2])
            self._drop()
            return
        with contextlib.suppress(ConnectionError):
            self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _forward

    def _ask(self, body: bytes):
        upstream = self.owner.upstream
        connection = http.client.HTTPConnection(upstream.hostname, upstream.port)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        connection.request(self.command, self.path, body, headers)
        with connection.getresponse() as response:
            found = response.status, response.getheaders(), response.read()
        connection.close()
        return found

    def _ours(self, value: str) -> str:
        """Addresses in answers, such as that of an upload session, lead through the proxy too."""
        return value.replace(self.owner.upstream.geturl(), self.owner.url)

    def _drop(self):
        """Break the connection as a lost network does: no orderly end."""
        self.wfile.flush()
        time.sleep(0.05)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def log_message(self, *_):
        pass


def _flipped(content: bytes) -> bytes:
    """One bit of the last third is wrong."""
    changed = bytearray(content)
    if changed:
        changed[len(changed) * 2 // 3] ^= 1
    return bytes(changed)
