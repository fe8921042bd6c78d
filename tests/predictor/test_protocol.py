"""Headers are bounded, and what is refused below any route has the form of every refusal."""

import gzip
import json
import socket

import httpx
import pytest

from predictor.protocol import MAX_HEADER_BYTES, MAX_HEADERS


def sent(server: str, *parts: bytes) -> bytes:
    """The whole answer to bytes on a socket of their own."""
    with socket.create_connection(("127.0.0.1", int(server.rsplit(":", 1)[1])), timeout=10) as connection:
        for part in parts:
            connection.sendall(part)
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))


HEAD = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    "headers",
    [
        b"X: " + b"a" * 200_000 + b"\r\n\r\n",
        b"X: " + b"a" * 200_000,  # and it never ends
        b"X: 1\r\n" * 5000 + b"\r\n",
        b"".join(b"X%d: %s\r\n" % (n, b"a" * 1000) for n in range(40)) + b"\r\n",
    ],
    ids=["one large", "endless", "many", "large together"],
)
def test_headers_that_are_too_large_or_too_many_are_431(server, headers):
    answer = sent(server, HEAD, headers)
    assert answer.startswith(b"HTTP/1.1 431 ")
    error = json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]
    assert error["code"] == "headers_too_large"
    assert f"{MAX_HEADER_BYTES:,}" in error["message"]


def test_a_long_path_is_431(server):
    assert sent(server, b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 431 ")


def test_headers_within_the_limits_are_taken_request_after_request(server):
    headers = {f"X-{number}": "a" * 250 for number in range(MAX_HEADERS - 10)}
    with httpx.Client(headers=headers) as client:
        assert [client.get(server + "/health").status_code for _ in range(3)] == [200] * 3
        body = b"x" * 200_000  # a body is not a header, however it comes
        assert client.post(server + "/predict", content=body).status_code == 400
        assert client.get(server + "/health").status_code == 200


def test_what_is_not_http_is_a_refusal_of_the_usual_form(server):
    answer = sent(server, b"nonsense\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]["code"] == "bad_request"


def asked(server: str, body: bytes, encoding: str) -> httpx.Response:
    return httpx.post(server + "/predict", content=body, headers={"Content-Encoding": encoding})


BODY = b'{"instances": []}'


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP"])
def test_a_gzip_body_is_answered(server, encoding):
    assert asked(server, gzip.compress(BODY), encoding).json() == {"predictions": []}
    assert asked(server, gzip.compress(BODY[:5]) + gzip.compress(BODY[5:]), encoding).json() == {"predictions": []}


def test_a_trailer_that_never_ends_is_refused(server):
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = sent(server, head + b"2\r\n{}\r\n0\r\nX: ", b"a" * 1_000_000)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert httpx.get(server + "/health").status_code == 200


def test_a_client_that_offers_another_protocol_is_answered_in_this_one(server):
    """Java's client does on plain HTTP."""
    headers = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAEAAEAAAAIAAAABAAMAAABk"}
    answer = httpx.post(server + "/predict", content=BODY, headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"predictions": []})


def test_a_refusal_does_not_overtake_the_answer_before_it(server):
    good, bad = HEAD.replace(b"Connection: close\r\n", b"") + b"\r\n", HEAD + b"X: 1\r\n" * 200 + b"\r\n"
    assert sent(server, good + bad).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("body", "encoding", "status", "says"),
    [
        (BODY, "gzip", 400, "not gzip"),
        (gzip.compress(BODY)[:-4], "gzip", 400, "cut short"),
        (gzip.compress(BODY) + b"more", "gzip", 400, "not gzip"),
        (gzip.compress(b" " * 20_000_000), "gzip", 413, "10,000,000"),
        (BODY, "br", 415, "has to be gzip, or absent"),
        (gzip.compress(BODY), "identity", 400, "not JSON"),
    ],
    ids=["not gzip", "cut short", "more behind it", "bomb", "another encoding", "not said"],
)
def test_a_body_in_another_encoding_is_refused_by_name_and_a_small_bomb_by_the_limit(
    server, body, encoding, status, says
):
    response = asked(server, body, encoding)
    assert response.status_code == status
    assert says in response.json()["error"]["message"]
    assert httpx.get(server + "/health").status_code == 200
