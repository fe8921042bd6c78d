"""What a request may say: unknown and contradictory keys are refused at every level, with what would be right."""

import base64
import json
import tracemalloc

import pytest

from predictor import schema, wire
from predictor.errors import BadRequest, TooLarge

B64 = base64.b64encode(bytes(range(256))).decode()
IMAGE = {"b64": B64}


def parsed(content) -> wire.Request:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return wire.parse(body, max_instances=10)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"instances": [], "paramters": {"far": 0.001}}, "key 'paramters' is unknown, did you mean 'parameters'"),
        ({"instances": [], "parameters": {"fra": 0.001}}, "parameter 'fra' is unknown, did you mean 'far'"),
        ({"instances": [{"imagee": IMAGE}]}, "instance 0 holds no image, did you mean 'image'"),
        ({"instances": [{}]}, "instance 0 holds no image"),
        ({"instances": [IMAGE, {"image": IMAGE, "refs": []}]}, "instance 1: key 'refs' is unknown, did you mean 'ref"),
        ({"instances": [{"image": {**IMAGE, "junk": 1}}]}, "\"image\": key 'junk' is unknown; there is: b64"),
        ({"instances": [{"image": IMAGE, "references": [{"b46": B64}]}]}, "key 'b46' is unknown, did you mean 'b64'"),
        ({"instances": [{"image": {}}]}, 'instance 0: "image.b64" is missing; it has to be base64 text'),
        ({"instances": [{"image": IMAGE, "image_bytes": IMAGE}]}, '"image" and "image_bytes", which contradict'),
        ({"instances": [{"image": IMAGE, "b64": B64}]}, '"image" and "b64", which contradict'),
        ({"instances": [{"b64": B64, "references": []}]}, 'comparison go with "image"'),
        ({"instances": [{"image": None}]}, '"image" is null; it has to be base64 text or {"b64": "BASE64"}'),
        ({"instances": [], "parameters": {"far": True}}, '"parameters.far" is a boolean; it has to be a number'),
        ({"instances": [], "parameters": {"on_error": "SECRET"}}, 'it has to be "fail", the whole request'),
        (b'{"instances": [\n  nonsense', "not JSON (line 2, column 4)"),
        (b'{"instances": [', "not JSON (it ends too early)"),
        (b'{"instances": ["\\ud800"]}', "not JSON; it has to be"),
        ({"instances": [{"image": {B64[:40]: 1}}]}, "key of 40 characters is unknown"),
        ({"instances": [{B64: {}}]}, "instance 0 holds no image; it has to be"),
        ('{"instances": []}'.encode("utf-16")[:-1], "neither UTF-8 nor UTF-16"),
    ],
)  # fmt: skip
def test_a_request_that_breaks_the_contract_is_refused_with_its_place_and_what_is_right(content, says):
    with pytest.raises(BadRequest) as refused:
        parsed(content)
    assert says in str(refused.value)
    assert "SECRET" not in str(refused.value)
    assert B64[:12] not in str(refused.value)


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
def test_base64_is_taken_as_peoples_tools_write_it(text):
    for instance in (text, {"b64": text}, {"image": text}, {"image_bytes": {"b64": text}}):
        assert parsed({"instances": [instance]}).instances[0].image == bytes(range(256))


@pytest.mark.parametrize("text", ["SECRET*", "A", "data:image/png,SECRET", "data:text;base64,é", "AAAA=AAA"])
def test_what_is_not_base64_is_refused_and_not_quoted(text):
    with pytest.raises(BadRequest, match=rf"instance 0: {len(text)} characters that are not base64"):
        parsed({"instances": [text]})


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_byte_order_mark_before_the_json_is_taken(encoding):
    """Editors write the first, PowerShell's ``>`` the others."""
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    assert len(parsed(mark + json.dumps({"instances": [IMAGE]}).encode(encoding)).instances) == 1


def test_a_long_data_url_takes_no_more_memory_than_its_own_length():
    """A pattern that remembers where it began would take a hundred times as much."""
    text = "data:" + ";a" * 1_000_000
    tracemalloc.start()
    with pytest.raises(BadRequest, match="not base64"):
        parsed({"instances": [text]})
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10 * len(text)


def test_references_and_embeddings_count_as_images():
    instance = {"image": IMAGE, "references": [IMAGE] * 4, "reference_embeddings": [[1.0]] * 5}
    assert len(parsed({"instances": [instance]}).instances) == 1
    with pytest.raises(TooLarge, match="10 images"):
        parsed({"instances": [instance, IMAGE]})


def test_parameters_are_the_same_as_json_and_as_the_fields_of_a_form():
    fields = {"far": "0.01", "explain": "true", "encoder": "0.5", "on_error": "row"}
    content = {"far": 0.01, "explain": True, "encoder": "0.5", "on_error": "row"}
    assert (
        schema.parameters(fields)
        == schema.request(json.dumps({"instances": [], "parameters": content}).encode()).parameters
    )


def test_an_error_by_row_keeps_nothing_of_its_request_alive():
    broken = parsed({"instances": [7], "parameters": {"on_error": "row"}}).instances[0]
    assert broken.__traceback__ is broken.__context__ is None
