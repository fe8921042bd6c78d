"""Headers are limited, and refusals before any route have the same form as all errors."""

import gzip
import json
import socket

import httpx
import pytest

from predictor.protocol import MAX_HEADER_BYTES, MAX_HEADERS


def send(server: str, *chunks: bytes) -> bytes:
    """Send bytes over a new connection; return the whole response."""
    with socket.create_connection(("127.0.0.1", int(server.rsplit(":", 1)[1])), timeout=10) as connection:
        for chunk in chunks:
            connection.sendall(chunk)
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))


HEAD = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    "headers",
    [
        b"X: " + b"a" * 200_000 + b"\r\n\r\n",
        b"X: " + b"a" * 200_000,  # without an end
        b"X: 1\r\n" * 5000 + b"\r\n",
        b"".join(b"X%d: %s\r\n" % (n, b"a" * 1000) for n in range(40)) + b"\r\n",
    ],
    ids=["one large", "endless", "many", "large together"],
)
def test_headers_that_are_too_large_or_too_many_are_431(server, headers):
    response = send(server, HEAD, headers)
    assert response.startswith(b"HTTP/1.1 431 ")
    error = json.loads(response.split(b"\r\n\r\n", 1)[1])["error"]
    assert error["code"] == "headers_too_large"
    assert f"{MAX_HEADER_BYTES:,}" in error["message"]


def test_a_long_path_is_431(server):
    assert send(server, b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 431 ")


def test_headers_within_the_limits_are_accepted_in_every_request_of_a_connection(server):
    headers = {f"X-{number}": "a" * 250 for number in range(MAX_HEADERS - 10)}
    with httpx.Client(headers=headers) as client:
        assert [client.get(server + "/health").status_code for _ in range(3)] == [200] * 3
        body = b"x" * 200_000  # the limit does not apply to bodies
        assert client.post(server + "/predict", content=body).status_code == 400
        assert client.get(server + "/health").status_code == 200


def test_bytes_that_are_not_http_get_an_error_of_the_usual_form(server):
    response = send(server, b"nonsense\r\n\r\n")
    assert response.startswith(b"HTTP/1.1 400 ")
    assert json.loads(response.split(b"\r\n\r\n", 1)[1])["error"]["code"] == "bad_request"


def post_encoded(server: str, body: bytes, encoding: str) -> httpx.Response:
    """Post a body with a ``Content-Encoding``."""
    return httpx.post(server + "/predict", content=body, headers={"Content-Encoding": encoding})


BODY = b'{"instances": []}'


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP"])
def test_a_gzip_body_is_answered(server, encoding):
    for body in (gzip.compress(BODY), gzip.compress(BODY[:5]) + gzip.compress(BODY[5:])):
        assert post_encoded(server, body, encoding).json() == {"predictions": []}


def test_a_trailer_that_never_ends_is_refused(server):
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    response = send(server, head + b"2\r\n{}\r\n0\r\nX: ", b"a" * 1_000_000)
    assert response.startswith(b"HTTP/1.1 431 ")
    assert httpx.get(server + "/health").status_code == 200


def test_a_client_that_offers_an_upgrade_is_answered_in_http_1_1(server):
    """Java's client offers HTTP/2 on plain HTTP."""
    headers = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAEAAEAAAAIAAAABAAMAAABk"}
    response = httpx.post(server + "/predict", content=BODY, headers=headers)
    assert (response.status_code, response.json()) == (200, {"predictions": []})


def test_a_refusal_does_not_overtake_the_previous_response(server):
    good, bad = HEAD.replace(b"Connection: close\r\n", b"") + b"\r\n", HEAD + b"X: 1\r\n" * 200 + b"\r\n"
    assert send(server, good + bad).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("body", "encoding", "status", "message"),
    [
        (BODY, "gzip", 400, "not gzip"),
        (gzip.compress(BODY)[:-4], "gzip", 400, "cut short"),
        (gzip.compress(BODY) + b"more", "gzip", 400, "not gzip"),
        (gzip.compress(b" " * 20_000_000), "gzip", 413, "10,000,000"),
        (BODY, "br", 415, "has to be gzip, or absent"),
        (gzip.compress(BODY), "identity", 400, "not JSON"),
    ],
    ids=["not gzip", "cut short", "more behind it", "bomb", "another encoding", "not declared"],
)
def test_a_body_that_cannot_be_decoded_or_inflates_over_the_limit_is_refused(server, body, encoding, status, message):
    response = post_encoded(server, body, encoding)
    assert response.status_code == status
    assert message in response.json()["error"]["message"]
    assert httpx.get(server + "/health").status_code == 200
