"""``python -m tests.bench.attack BODIES MODEL``: what do malformed requests do to the server?

A tenth generated from the OpenAPI document by schemathesis, the rest made here: cut short, flipped, of the wrong
types, nested deeply, with numbers beyond every range, with images that are damaged, bombs or archives. Wanted: no 500,
no answer that takes longer than SLOWEST, no growth of memory, and a server that answers well afterwards.
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
from trainer.samples import generator

SLOWEST = 5.0  # seconds
GROWTH = 40_000_000  # bytes of resident memory, after the first tenth
JSON, FORM = "application/json", "multipart/form-data; boundary=edge"


def main() -> int:
    """Send them all; 1 when the server did what it must not."""
    count, artefact = int(sys.argv[1]), sys.argv[2]
    log = io.StringIO()
    with contextlib.redirect_stdout(log), serving("--model", artefact) as server, httpx.Client(timeout=60) as client:
        attack = _Attack(client, server)
        for number in range(count - count // 10):
            attack.send(*_made(random.Random(number)))
            if number == count // 10:
                attack.before = attack.memory()
        _generated(attack, count // 10)
        grown = attack.memory() - attack.before
        image = base64.b64encode(generator.image(5, 1, "genuine", 0)[0]).decode()
        well = client.post(server + "/predict", json={"instances": [image]}).status_code
    print(
        f"{sum(attack.statuses.values()):,} requests: " + ", ".join(f"{n:,} x {s}" for s, n in attack.statuses.items())
    )
    print(f"slowest {attack.slowest:.2f} s (wanted {SLOWEST:g}), memory grew by {grown / 1e6:.1f} MB", end=" ")
    print(f"(wanted {GROWTH / 1e6:g}), then a good request: {well}")
    quoted = attack.secret in log.getvalue()
    print(f"bytes of requests in the log: {'yes' if quoted else 'none'}")
    faults = attack.statuses[500] or attack.slowest > SLOWEST or grown > GROWTH or well != 200 or quoted
    return 1 if faults else 0


class _Attack:
    secret = "c2lnbmF0dXJl"  # in many bodies

    def __init__(self, client: httpx.Client, server: str):
        self._client, self._server = client, server
        self.statuses: collections.Counter[int] = collections.Counter()
        self.slowest, self.before = 0.0, 0.0

    def send(self, body: bytes, kind: str) -> None:
        began = time.monotonic()
        response = self._client.post(self._server + "/predict", content=body, headers={"Content-Type": kind})
        self.took(time.monotonic() - began, response.status_code)

    def took(self, seconds: float, status: int) -> None:
        self.statuses[status] += 1
        self.slowest = max(self.slowest, seconds)

    def memory(self) -> float:
        lines = self._client.get(self._server + "/metrics").text.splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("process_resident_memory_bytes"))


def _generated(attack: _Attack, count: int) -> None:
    operation = schemathesis.openapi.from_url(attack._server + "/openapi.json")["/predict"]["POST"]
    both = operation.as_strategy() | operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)

    @hypothesis.settings(
        max_examples=count, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    @hypothesis.given(case=both)
    def run(case):
        began = time.monotonic()
        response = case.call(base_url=attack._server)
        attack.took(time.monotonic() - began, response.status_code)

    run()


def _made(rng: random.Random) -> tuple[bytes, str]:
    """One malformed body and its Content-Type."""
    return rng.choice(_KINDS)(rng)


def _json(instance) -> tuple[bytes, str]:
    return json.dumps({"instances": [instance]}).encode(), JSON


def _cut(rng):
    body, kind = _json({"b64": _text(_image(rng))})
    return body[: rng.randrange(len(body))], kind


def _flipped(rng):
    body = bytearray(_json({"b64": _text(_image(rng))})[0])
    for _ in range(rng.choice((1, 3, 50))):
        body[rng.randrange(len(body))] = rng.randrange(256)
    return bytes(body), JSON


def _wrong_types(rng):
    def value(depth):
        kinds = [None, True, -1, 1e308, 10**400, "", _Attack.secret, "\ud800", [], {}]
        if depth:
            kinds += [[value(depth - 1)] * rng.randrange(3), {rng.choice(_NAMES): value(depth - 1)}]
        return rng.choice(kinds)

    body = {rng.choice(("instances", "instances", "parameters", "x")): value(4) for _ in range(3)}
    body.setdefault("instances", [{rng.choice(_NAMES): value(3)} for _ in range(rng.randrange(4))])
    return json.dumps(body).encode(), JSON


def _nested(rng):
    depth = rng.choice((50, 900, 1100, 100_000))
    opening, closing = rng.choice((("[", "]"), ('{"a":', "}")))
    return f'{{"instances": {opening * depth}1{closing * depth}}}'.encode(), JSON


def _numbers(rng):
    number = rng.choice(("1e999", "-1e999", "9" * 5000, "NaN", "Infinity", "0." + "1" * 5000, "-0", "1e-999"))
    part = rng.choice((f'"parameters": {{"far": {number}}}', f'"x": {number}'))
    vectors = f'{{"image": "{_Attack.secret}", "reference_embeddings": [[{number}]]}}'
    return f'{{"instances": [{vectors}], {part}}}'.encode(), JSON


def _bad_base64(rng):
    text = _text(_image(rng))
    at = rng.randrange(len(text))
    return _json({"b64": text[:at] + rng.choice(("*", "=", "\n", " ", "é", "====")) + text[at:]})


def _damaged(rng):
    data = bytearray(_image(rng))
    if rng.random() < 0.5:
        del data[rng.randrange(len(data)) :]
    for _ in range(rng.choice((0, 1, 20))):
        if data:
            data[rng.randrange(len(data))] = rng.randrange(256)
    return _json(_text(bytes(data)))


def _bomb(rng):
    side = rng.choice((7_000, 60_000, 2**31 - 1))
    header = struct.pack(">IIBBBBB", side, side, 8, rng.choice((0, 2, 6)), 0, 0, 0)
    pixels = zlib.compress(bytes(5_000_000), 9)
    chunks = [(b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")]
    if rng.random() < 0.3:
        chunks.insert(1, (b"iCCP", b"x\0\0" + zlib.compress(bytes(5_000_000), 9)))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return _json(_text(png))


def _archive(rng):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("signature.png", bytes(1_000_000))
    return rng.choice((_json(_text(packed.getvalue())), (packed.getvalue(), "image/png")))


def _mangled_form(rng):
    name = rng.choice(('name="image"; filename="a.png"', 'name="far"', "name", 'filename="a"', 'name="image"'))
    body = b"--edge\r\nContent-Disposition: form-data; " + name.encode() + b"\r\n\r\n" + _image(rng)[:500]
    body += rng.choice((b"\r\n--edge--\r\n", b"\r\n--edge", b"", b"\r\n--edge\r\n\r\n"))
    return body, rng.choice((FORM, FORM, "multipart/form-data", "multipart/form-data; boundary=" + "x" * 300))


def _other_kinds(rng):
    kind = rng.choice(("text/xml", "image/png", "image/", "application/json; charset=utf-16", "", ";;;", "a" * 2000))
    return rng.randbytes(rng.randrange(300)), kind


_NAMES = ("b64", "image", "image_bytes", "references", "reference_embeddings", "explain", "far", "encoder", "on_error")
_KINDS = [
    _cut, _flipped, _wrong_types, _wrong_types, _nested, _numbers, _bad_base64, _damaged, _damaged, _bomb, _archive,
    _mangled_form, _other_kinds,
]  # fmt: skip
_IMAGES = [generator.image(9, writer, kind, 0)[0] for writer in range(1, 6) for kind in ("genuine", "text")]


def _image(rng: random.Random) -> bytes:
    return rng.choice(_IMAGES)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


if __name__ == "__main__":
    raise SystemExit(main())
