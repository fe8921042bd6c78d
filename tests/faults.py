"""A proxy between the real Cloud Storage client and the emulator, which causes planned faults.

``with FaultProxy(upstream) as proxy: proxy.fail("reset", "GET", "/o/", times=1)``. ``proxy.log`` has (method, path) of
every request.
"""

import contextlib
import http.client
import http.server
import socket
import struct
import threading
import time
import urllib.parse

FAULTS = ("reset", "401", "403", "503", "flip", "flip request", "hang", "lost")


class FaultProxy:
    """Forward HTTP requests; each planned fault affects the first requests that match."""

    def __init__(self, upstream: str):
        self.upstream = urllib.parse.urlparse(upstream)
        self.log: list[tuple[str, str]] = []
        self.hang = threading.Event()  # set at the end, which ends requests that hang
        self._planned: list[list] = []
        self._lock = threading.Lock()
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def fail(self, fault: str, method: str, path: str, times: int = 1) -> None:
        """Plan a fault for the next requests of a method with ``path`` in their path."""
        assert fault in FAULTS
        self._planned.append([fault, method, path, times])

    def cancel(self) -> None:
        """Cancel all planned faults."""
        self._planned.clear()

    def take_fault(self, method: str, path: str) -> str | None:
        """Log a request, and return the fault that is planned for it, which is counted as used."""
        with self._lock:
            self.log.append((method, path))
            for fault in self._planned:
                if fault[3] and fault[1] == method and fault[2] in urllib.parse.unquote(path):
                    fault[3] -= 1
                    return fault[0]
        return None

    @property
    def unused(self) -> int:
        """Return the number of planned faults that no request has met."""
        return sum(fault[3] for fault in self._planned)

    def requests(self, method: str, path: str) -> int:
        """Return the number of logged requests of a method with ``path`` in their path."""
        return sum(logged == method and path in urllib.parse.unquote(target) for logged, target in self.log)

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
        fault = self.owner.take_fault(self.command, self.path)
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
            body = _flip_bit(body)
        status, headers, content = self._send_upstream(body)
        if fault == "lost":
            self._drop()
            return
        if fault == "flip":
            content = _flip_bit(content)
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, self._replace_address(value))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if fault == "reset":
            self.wfile.write(content[: len(content) // 2])
            self._drop()
            return
        with contextlib.suppress(ConnectionError):
            self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _forward

    def _send_upstream(self, body: bytes):
        upstream = self.owner.upstream
        connection = http.client.HTTPConnection(upstream.hostname, upstream.port)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        connection.request(self.command, self.path, body, headers)
        with connection.getresponse() as response:
            answer = response.status, response.getheaders(), response.read()
        connection.close()
        return answer

    def _replace_address(self, value: str) -> str:
        """Replace the address of the server in an answer, such as that of an upload session, by that of the proxy."""
        return value.replace(self.owner.upstream.geturl(), self.owner.url)

    def _drop(self):
        """Reset the connection, without closing it properly."""
        self.wfile.flush()
        time.sleep(0.05)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def log_message(self, *_):
        pass


def _flip_bit(content: bytes) -> bytes:
    """Flip one bit in the last third."""
    changed = bytearray(content)
    if changed:
        changed[len(changed) * 2 // 3] ^= 1
    return bytes(changed)
