"""Bodies of requests: what just fits is read, what is a byte too large is refused, and nothing stays counted."""

import asyncio

import pytest
from starlette.requests import Request

from predictor import bodies
from predictor.bodies import Bodies
from predictor.errors import BadRequest, TooLarge

BOUNDARY = "x"


def request(*chunks: bytes, announced: int | None = None) -> Request:
    """A request whose body comes in these chunks."""
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    headers = [] if announced is None else [(b"content-length", str(announced).encode())]

    async def receive():
        return messages.pop(0)

    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


def read(kept: Bodies, sent: Request) -> bytes:
    async def whole():
        async with kept.whole(sent, None) as body:
            assert kept.kept == len(body)
            return bytes(body)

    return asyncio.run(whole())


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_of_just_the_largest_size_is_read_and_a_byte_more_is_refused(announced):
    kept = Bodies(largest=10, together=100, seconds=5)
    assert read(kept, request(b"12345", b"67890", announced=10 if announced else None)) == b"1234567890"
    with pytest.raises(TooLarge):
        read(kept, request(b"12345", b"678901", announced=11 if announced else None))
    assert kept.kept == 0


def test_the_largest_body_fits_even_where_less_is_said_to_fit_together():
    assert read(Bodies(largest=10, together=3, seconds=5), request(b"1234567890")) == b"1234567890"


def form(name: str, value: str) -> bytearray:
    field = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
    file = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\nbytes\r\n'
    return bytearray(f"{field}{file}--{BOUNDARY}--\r\n".encode())


def test_a_field_of_a_form_may_be_as_long_as_the_name_of_an_encoder_and_not_as_an_image():
    def parsed(value):
        return asyncio.run(bodies.parse(form("encoder", value), f"multipart/form-data; boundary={BOUNDARY}", 5))

    assert parsed("e" * 64).encoder == "e" * 64
    with pytest.raises(BadRequest, match="the form cannot be read"):
        parsed("e" * 5000)
