"""``python -m tests.bench.attack COUNT ARTIFACT``: send malformed requests to the server.

Schemathesis generates a tenth of them from the OpenAPI document; the others are generated here: cut short, with changed
bytes, of wrong types, nested deeply, with numbers out of range, with damaged images, decompression bombs or archives.
Fails for a status 500, an answer slower than ``MAX_SECONDS``, a growth of memory above ``MAX_GROWTH``, bytes of a
request in the log, or when the server does not answer a valid request afterwards.
"""

import base64
import collections
import contextlib
import io
import json
import random
import struct
import sys
import time
import zipfile
import zlib

import httpx
import hypothesis
import schemathesis

from tests.conftest import serving
from trainer.generators import signatures as generator

MAX_SECONDS = 5.0
MAX_GROWTH = 40_000_000  # bytes of resident memory, after the first tenth
JSON, FORM = "application/json", "multipart/form-data; boundary=edge"


def main() -> int:
    """Send the requests; return 1 when the server fails."""
    count, artifact_dir = int(sys.argv[1]), sys.argv[2]
    log = io.StringIO()
    with (
        contextlib.redirect_stdout(log),
        serving("--artifact", artifact_dir) as server,
        httpx.Client(timeout=60) as client,
    ):
        attack = _Attack(client, server)
        for number in range(count - count // 10):
            attack.send(*_generate_body(random.Random(number)))
            if number == count // 10:
                memory_before = attack.measure_memory()
        _send_generated(attack, count // 10)
        growth = attack.measure_memory() - memory_before
        image = base64.b64encode(generator.generate_image(5, 1, "genuine", 0)[0]).decode()
        final_status = client.post(server + "/predict", json={"instances": [image]}).status_code
    print(
        f"{sum(attack.statuses.values()):,} requests: " + ", ".join(f"{n:,} x {s}" for s, n in attack.statuses.items())
    )
    print(f"slowest {attack.slowest:.2f} s (limit {MAX_SECONDS:g}), memory grew by {growth / 1e6:.1f} MB", end=" ")
    print(f"(limit {MAX_GROWTH / 1e6:g}), then a valid request: {final_status}")
    is_logged = attack.secret in log.getvalue()
    print(f"bytes of requests in the log: {'yes' if is_logged else 'none'}")
    is_slow_or_large = attack.slowest > MAX_SECONDS or growth > MAX_GROWTH
    return 1 if attack.statuses[500] or is_slow_or_large or final_status != 200 or is_logged else 0


class _Attack:
    """Sends requests to a server; counts statuses and keeps the longest time, in seconds."""

    secret = "c2lnbmF0dXJl"  # in many bodies

    def __init__(self, client: httpx.Client, server: str):
        self.server = server
        self._client = client
        self.statuses: collections.Counter[int] = collections.Counter()
        self.slowest = 0.0

    def send(self, body: bytes, content_type: str) -> None:
        """Send one body."""
        started_at = time.monotonic()
        response = self._client.post(self.server + "/predict", content=body, headers={"Content-Type": content_type})
        self.record(time.monotonic() - started_at, response.status_code)

    def record(self, seconds: float, status: int) -> None:
        """Record one answer."""
        self.statuses[status] += 1
        self.slowest = max(self.slowest, seconds)

    def measure_memory(self) -> float:
        """Return the resident memory of the server in bytes."""
        lines = self._client.get(self.server + "/metrics").text.splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("process_resident_memory_bytes"))


def _send_generated(attack: _Attack, count: int) -> None:
    """Send valid and invalid requests that schemathesis generates from the OpenAPI document."""
    operation = schemathesis.openapi.from_url(attack.server + "/openapi.json")["/predict"]["POST"]
    strategy = operation.as_strategy() | operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)

    @hypothesis.settings(
        max_examples=count, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    @hypothesis.given(case=strategy)
    def run(case):
        started_at = time.monotonic()
        response = case.call(base_url=attack.server)
        attack.record(time.monotonic() - started_at, response.status_code)

    run()


def _generate_body(rng: random.Random) -> tuple[bytes, str]:
    """Generate a malformed body and its Content-Type."""
    return rng.choice(_GENERATORS)(rng)


def _to_json(instance: object) -> tuple[bytes, str]:
    return json.dumps({"instances": [instance]}).encode(), JSON


def _cut_short(rng):
    body, content_type = _to_json({"b64": _to_base64(_choose_image(rng))})
    return body[: rng.randrange(len(body))], content_type


def _change_bytes(rng):
    body = bytearray(_to_json({"b64": _to_base64(_choose_image(rng))})[0])
    for _ in range(rng.choice((1, 3, 50))):
        body[rng.randrange(len(body))] = rng.randrange(256)
    return bytes(body), JSON


def _make_wrong_types(rng):
    def make_value(depth):
        choices = [None, True, -1, 1e308, 10**400, "", _Attack.secret, "\ud800", [], {}]
        if depth:
            choices += [[make_value(depth - 1)] * rng.randrange(3), {rng.choice(_NAMES): make_value(depth - 1)}]
        return rng.choice(choices)

    body = {rng.choice(("instances", "instances", "parameters", "x")): make_value(4) for _ in range(3)}
    body.setdefault("instances", [{rng.choice(_NAMES): make_value(3)} for _ in range(rng.randrange(4))])
    return json.dumps(body).encode(), JSON


def _nest_deeply(rng):
    depth = rng.choice((50, 900, 1100, 100_000))
    opening, closing = rng.choice((("[", "]"), ('{"a":', "}")))
    return f'{{"instances": {opening * depth}1{closing * depth}}}'.encode(), JSON


def _make_numbers(rng):
    number = rng.choice(("1e999", "-1e999", "9" * 5000, "NaN", "Infinity", "0." + "1" * 5000, "-0", "1e-999"))
    field = rng.choice((f'"parameters": {{"far": {number}}}', f'"x": {number}'))
    instance = f'{{"image": "{_Attack.secret}", "reference_embeddings": [[{number}]]}}'
    return f'{{"instances": [{instance}], {field}}}'.encode(), JSON


def _break_base64(rng):
    text = _to_base64(_choose_image(rng))
    index = rng.randrange(len(text))
    return _to_json({"b64": text[:index] + rng.choice(("*", "=", "\n", " ", "é", "====")) + text[index:]})


def _damage_image(rng):
    data = bytearray(_choose_image(rng))
    if rng.random() < 0.5:
        del data[rng.randrange(len(data)) :]
    for _ in range(rng.choice((0, 1, 20))):
        if data:
            data[rng.randrange(len(data))] = rng.randrange(256)
    return _to_json(_to_base64(bytes(data)))


def _make_bomb(rng):
    side = rng.choice((7_000, 60_000, 2**31 - 1))
    header = struct.pack(">IIBBBBB", side, side, 8, rng.choice((0, 2, 6)), 0, 0, 0)
    pixels = zlib.compress(bytes(5_000_000), 9)
    chunks = [(b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")]
    if rng.random() < 0.3:
        chunks.insert(1, (b"iCCP", b"x\0\0" + zlib.compress(bytes(5_000_000), 9)))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return _to_json(_to_base64(png))


def _make_archive(rng):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("signature.png", bytes(1_000_000))
    return rng.choice((_to_json(_to_base64(buffer.getvalue())), (buffer.getvalue(), "image/png")))


def _break_form(rng):
    name = rng.choice(('name="image"; filename="a.png"', 'name="far"', "name", 'filename="a"', 'name="image"'))
    body = b"--edge\r\nContent-Disposition: form-data; " + name.encode() + b"\r\n\r\n" + _choose_image(rng)[:500]
    body += rng.choice((b"\r\n--edge--\r\n", b"\r\n--edge", b"", b"\r\n--edge\r\n\r\n"))
    return body, rng.choice((FORM, FORM, "multipart/form-data", "multipart/form-data; boundary=" + "x" * 300))


def _choose_content_type(rng):
    content_type = rng.choice(
        ("text/xml", "image/png", "image/", "application/json; charset=utf-16", "", ";;;", "a" * 2000)
    )
    return rng.randbytes(rng.randrange(300)), content_type


_NAMES = ("b64", "image", "image_bytes", "references", "reference_embeddings", "explain", "far", "encoder", "on_error")
_GENERATORS = [  # two of them twice, because they vary most
    *(_cut_short, _change_bytes, _make_wrong_types, _make_wrong_types, _nest_deeply, _make_numbers, _break_base64),
    *(_damage_image, _damage_image, _make_bomb, _make_archive, _break_form, _choose_content_type),
]
_IMAGES = [
    generator.generate_image(9, writer, content, 0)[0] for writer in range(1, 6) for content in ("genuine", "text")
]


def _choose_image(rng: random.Random) -> bytes:
    return rng.choice(_IMAGES)


def _to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


if __name__ == "__main__":
    raise SystemExit(main())
