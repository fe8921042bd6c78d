"""The contract of a request: unknown and contradictory keys are refused at every level, with what would be right."""

import base64
import json
import tracemalloc

import pytest

from predictor import schema
from predictor.errors import BadRequest, TooLarge

B64 = base64.b64encode(bytes(range(256))).decode()
IMAGE = {"b64": B64}


def parse(content) -> schema.ParsedRequest:
    """Parse a body, or a value as JSON."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return schema.parse_json(body, max_instances=10)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"instances": [], "paramters": {"far": 0.001}}, "key 'paramters' is unknown, did you mean 'parameters'"),
        ({"instances": [], "parameters": {"fra": 0.001}}, "parameter 'fra' is unknown, did you mean 'far'"),
        ({"instances": [{"imagee": IMAGE}]}, "instance 0 holds no image, did you mean 'image'"),
        ({"instances": [{}]}, "instance 0 holds no image"),
        ({"instances": [IMAGE, {"image": IMAGE, "refs": []}]}, "instance 1: key 'refs' is unknown, did you mean 'ref"),
        ({"instances": [{"image": {**IMAGE, "junk": 1}}]}, "\"image\": key 'junk' is unknown; known keys: b64"),
        ({"instances": [{"image": IMAGE, "references": [{"b46": B64}]}]}, "key 'b46' is unknown, did you mean 'b64'"),
        ({"instances": [{"image": {}}]}, 'instance 0: "image.b64" is missing; it has to be base64 text'),
        ({"instances": [{"image": IMAGE, "image_bytes": IMAGE}]}, '"image" and "image_bytes", which contradict'),
        ({"instances": [{"image": IMAGE, "b64": B64}]}, '"image" and "b64", which contradict'),
        ({"instances": [{"b64": B64, "references": []}]}, 'comparison go with "image"'),
        ({"instances": [{"image": None}]}, '"image" is null; it has to be base64 text or {"b64": "BASE64"}'),
        ({"instances": [], "parameters": {"far": True}}, '"parameters.far" is a boolean; it has to be a number'),
        (
            {"instances": [], "parameters": {"threshold": "x"}},
            '"parameters.threshold" is a string; it has to be a score',
        ),
        ({"instances": [], "parameters": {"threshold": 1}}, 'threshold" has a value that is not accepted'),
        ({"instances": [], "parameters": {"threshold": 0}}, "above 0 and below 1"),
        ({"instances": [], "parameters": {"threshold": 0.9, "far": 0.01}}, "give one of them"),
        ({"instances": [], "parameters": {"on_error": "SECRET"}}, 'it has to be "fail", the whole request'),
        (b'{"instances": [\n  nonsense', "not JSON (line 2, column 4)"),
        (b'{"instances": [', "not JSON (it ends too early)"),
        (b'{"instances": ["\\ud800"]}', "not JSON; it has to be"),
        ({"instances": [{"image": {B64[:40]: 1}}]}, "key of 40 characters is unknown"),
        ({"instances": [{B64: {}}]}, "instance 0 holds no image; it has to be"),
        ('{"instances": []}'.encode("utf-16")[:-1], "neither UTF-8 nor UTF-16"),
    ],
)
def test_a_request_that_violates_the_contract_is_refused_with_the_location_and_what_is_right(content, message):
    with pytest.raises(BadRequest) as error:
        parse(content)
    assert message in str(error.value)
    assert "SECRET" not in str(error.value)
    assert B64[:12] not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        B64,
        base64.encodebytes(bytes(range(256))).decode(),  # wrapped at 76 characters, as the base64 command does
        B64.replace("\n", "") + "\r\n",
        base64.urlsafe_b64encode(bytes(range(256))).decode(),
        B64.rstrip("="),
        f"data:image/png;base64,{B64}",
        f"data:;base64,{B64}",
    ],
)
def test_base64_is_decoded_as_common_tools_write_it(text):
    for instance in (text, {"b64": text}, {"image": text}, {"image_bytes": {"b64": text}}):
        assert parse({"instances": [instance]}).instances[0].image == bytes(range(256))


@pytest.mark.parametrize("text", ["SECRET*", "A", "data:image/png,SECRET", "data:text;base64,é", "AAAA=AAA"])
def test_invalid_base64_is_refused_and_not_quoted(text):
    with pytest.raises(BadRequest, match=rf"instance 0: {len(text)} characters that are not base64"):
        parse({"instances": [text]})


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_byte_order_mark_before_the_json_is_accepted(encoding):
    """Editors write the first of them, PowerShell's ``>`` the others."""
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    assert len(parse(mark + json.dumps({"instances": [IMAGE]}).encode(encoding)).instances) == 1


def test_the_memory_for_a_long_data_url_is_proportional_to_its_length():
    """A pattern with backtracking would need a hundred times as much."""
    text = "data:" + ";a" * 1_000_000
    tracemalloc.start()
    with pytest.raises(BadRequest, match="not base64"):
        parse({"instances": [text]})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * len(text)


def test_references_and_embeddings_count_as_images():
    instance = {"image": IMAGE, "references": [IMAGE] * 4, "reference_embeddings": [[1.0]] * 5}
    assert len(parse({"instances": [instance]}).instances) == 1
    with pytest.raises(TooLarge, match="10 images"):
        parse({"instances": [instance, IMAGE]})


def test_parameters_are_the_same_from_json_and_from_the_fields_of_a_form():
    for name in ("far", "threshold"):
        fields = {name: "0.01", "explain": "true", "encoder": "0.5", "on_error": "row"}
        content = {name: 0.01, "explain": True, "encoder": "0.5", "on_error": "row"}
        decoded = schema.decode_request(json.dumps({"instances": [], "parameters": content}).encode())
        assert schema.convert_parameters(fields) == decoded.parameters
    with pytest.raises(BadRequest, match="give one of them"):
        schema.convert_parameters({"far": "0.01", "threshold": "0.9"})
    with pytest.raises(BadRequest, match="above 0 and below 1"):
        schema.convert_parameters({"threshold": "nan"})


def test_an_error_of_a_row_refers_to_nothing_of_its_request():
    error = parse({"instances": [7], "parameters": {"on_error": "row"}}).instances[0]
    assert error.__traceback__ is error.__context__ is None
