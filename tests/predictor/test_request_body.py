"""Limits of bodies: the largest is read, a byte more is refused, and no byte stays counted as buffered."""

import asyncio

import pytest
from starlette.requests import Request

from predictor.app import parse_body
from predictor.errors import BadRequest, TooLarge
from predictor.request_body import BodyReader

BOUNDARY = "x"


def make_request(*chunks: bytes, announced: int | None = None) -> Request:
    """Make a request whose body arrives in these chunks, with or without a ``Content-Length``."""
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    headers = [] if announced is None else [(b"content-length", str(announced).encode())]

    async def receive():
        return messages.pop(0)

    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


def read(reader: BodyReader, request: Request) -> bytes:
    """Read the body of a request, and check that it counts as buffered."""

    async def read_body():
        async with reader.read(request, None) as body:
            assert reader.buffered_bytes == len(body)
            return bytes(body)

    return asyncio.run(read_body())


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_of_the_largest_size_is_read_and_a_byte_more_is_refused(announced):
    reader = BodyReader(max_bytes=10, max_total_bytes=100, timeout=5)
    assert read(reader, make_request(b"12345", b"67890", announced=10 if announced else None)) == b"1234567890"
    with pytest.raises(TooLarge):
        read(reader, make_request(b"12345", b"678901", announced=11 if announced else None))
    assert reader.buffered_bytes == 0


def test_the_largest_body_is_read_even_if_the_common_limit_is_smaller():
    assert read(BodyReader(max_bytes=10, max_total_bytes=3, timeout=5), make_request(b"1234567890")) == b"1234567890"


def make_form(name: str, value: str) -> bytearray:
    """Make a form with one field and one file."""
    field = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
    file = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\nbytes\r\n'
    return bytearray(f"{field}{file}--{BOUNDARY}--\r\n".encode())


def test_a_field_of_a_form_may_have_the_length_of_an_encoder_but_not_of_an_image():
    headers = [(b"content-type", f"multipart/form-data; boundary={BOUNDARY}".encode())]
    request = Request({"type": "http", "method": "POST", "headers": headers})

    def parse(value):
        return asyncio.run(parse_body(make_form("encoder", value), request, 5))

    assert parse("e" * 64).parameters.encoder == "e" * 64
    with pytest.raises(BadRequest, match="the form cannot be read"):
        parse("e" * 5000)
