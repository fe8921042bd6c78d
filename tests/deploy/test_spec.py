"""Every key of an environment is checked, and an error names file, key and what would be right."""

import dataclasses
import re

import pytest
from google.cloud import aiplatform_v1 as api

from deploy import formats, spec
from deploy.spec import BadSetting
from tests.conftest import ROOT
from trainer.console.errors import UserError

VALID = """
[location]
project = "my-project"
[model]
artifact = "runs/model"
store = "gs://bucket/artifacts"
image = "host/predictor@sha256:{digest}"
[endpoint]
endpoint_id = "countersign"
""".format(digest="0f" * 32)


@pytest.fixture
def load(tmp_path):
    """``load(text, purpose, **overrides)`` reads an environment from a file with that text."""

    def load_text(text: str, purpose: str = "plan", **overrides):
        file = tmp_path / "bank.toml"
        file.write_text(text)
        return spec.load(str(file), overrides, purpose)

    return load_text


@pytest.mark.parametrize("name", ["staging", "production"])
def test_the_environments_of_the_package_are_valid(name):
    overrides = {"artifact": "runs/model", "image": "x@sha256:" + "0" * 64, "training_image": "trainer"}
    overrides["preparation_image"] = "preparation"
    for purpose in spec.REQUIRED_KEYS:
        assert spec.load(name, overrides, purpose).name == name


def test_a_flag_wins_over_a_key(load):
    assert load(VALID, endpoint_id="other").endpoint.endpoint_id == "other"
    assert load(VALID).name == "bank"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('region = "Europe"', r"'Europe' is not a region"),
        ('projekt = "x"', r"unknown setting 'projekt'.*project"),
    ],
)
def test_a_wrong_location_names_file_and_key(load, line, message):
    with pytest.raises(BadSetting, match=rf"bank.toml' \[location\].*{message}"):
        load(VALID.replace("[location]", f"[location]\n{line}"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('machine_type = "big"', "machine_type: 'big' is not a machine type"),
        ("min_replicas = 0", "min_replicas: 0 is out of range"),
        ("min_replicas = 3\nmax_replicas = 2", "max_replicas: 2 is less than min_replicas 3"),
        ("traffic_percentage = true", "traffic_percentage: true is a boolean, not a number"),
        ("min_replicas = false", "min_replicas: false is a boolean, not a number"),
        ("traffic_percentage = 101", "traffic_percentage: 101 is out of range"),
        ("target_cpu = 99.5", "target_cpu: 99.5 is"),
        ('dedicated = "maybe"', "dedicated: 'maybe' is neither true nor false"),
        ('service_account = "me"', "service_account: 'me' is not the e-mail address"),
        ("machin = 3", "unknown setting 'machin'.*machine"),
    ],
)
def test_a_wrong_endpoint_names_file_and_key(load, line, message):
    with pytest.raises(BadSetting, match=rf"bank.toml' \[endpoint\].*{message}"):
        load(VALID + line)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("T4", "NVIDIA_TESLA_T4"),
        ("nvidia_l4", "NVIDIA_L4"),
        ("A100-80GB", "NVIDIA_A100_80GB"),
        ("NVIDIA_TESLA_T5", "NVIDIA_TESLA_T4"),
    ],
)
def test_an_accelerator_that_the_api_does_not_have_is_answered_with_the_nearest_one(load, name, nearest):
    with pytest.raises(BadSetting, match=rf"accelerator_type: '{name}' is not one of .*, did you mean '{nearest}'\?"):
        load(VALID, accelerator_type=name, accelerator_count=1)
    assert load(VALID, accelerator_type=nearest, accelerator_count=1).training.accelerator_type == nearest


def test_accelerator_types_are_those_of_the_api():
    unspecified, *names = api.AcceleratorType.__members__
    assert list(formats.ACCELERATOR_TYPES) == names
    assert unspecified == "ACCELERATOR_TYPE_UNSPECIFIED"


def test_an_image_by_tag_is_refused_because_a_tag_moves(load):
    with pytest.raises(
        BadSetting, match=r"\[model\].*image: 'host/predictor:latest' is not IMAGE@sha256:DIGEST; a tag"
    ):
        load(re.sub(r'image = ".*"', 'image = "host/predictor:latest"', VALID))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[location", "is not TOML"),
        ("[locatoin]\n", r"unknown table \[locatoin\].*location"),
        ("location = 3\n", "it has to be a table"),
        ('[labels]\nTeam = "a"\n', r"\[labels\]: Team: 'a'"),
        ("[labels]\nteam = 3\n", r"\[labels\]: team: 3"),
        ("labels = 3\n", "it has to be a table"),
        ("", r"\[location\]: project is missing; or give --project"),
        (
            '[training]\naccelerator_count = 2\n[location]\nproject = "my-project"\n',
            "accelerator_type and accelerator_count go together",
        ),
    ],
)
def test_a_file_that_is_no_environment_is_an_error(load, text, message):
    with pytest.raises(BadSetting, match=message):
        load(text, "read", endpoint_id="countersign")


def test_for_an_unknown_environment_the_known_ones_are_listed():
    with pytest.raises(BadSetting, match=r"no environment 'stagin'.*staging.*production, staging"):
        spec.load("stagin", {}, "read")
    with pytest.raises(BadSetting, match=r"there is no file 'none.toml'"):
        spec.load("none.toml", {}, "read")


OLD = """
[place]
project = "my-project"
[model]
tolerance = 2
[endpoint]
endpoint_id = "countersign"
machine = "n1-standard-4"
log_requests = true
[training]
accelerator = "NVIDIA_L4"
accelerators = 1
"""


def test_old_keys_are_read_with_a_warning_that_names_the_new_one(load, caplog):
    environment = load(OLD, "read")
    assert environment.location.project == "my-project"
    assert environment.model.max_error_increase == 2
    assert environment.serving_config.machine_type == "n1-standard-4"
    assert environment.serving_config.access_logging
    assert environment.training.accelerator_count == 1
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 6
    assert "bank.toml': place is now location; the old name will be removed in the next release" in warnings[0]
    assert "bank.toml' [endpoint]: machine is now machine_type" in "\n".join(warnings)


def test_an_old_key_beside_its_new_one_is_an_error(load):
    with pytest.raises(UserError, match=r"\[endpoint\]: machine is the old name of machine_type; give"):
        load(OLD.replace("log_requests = true", 'machine_type = "n1-standard-2"'), "read")


def test_every_key_is_in_the_docs():
    page = (ROOT / "docs" / "vertex.md").read_text()
    for section, settings in spec.SECTIONS.items():
        assert f"| `[{section}]` |" in page
        assert [field.name for field in dataclasses.fields(settings) if f"`{field.name}`" not in page] == []


def test_labels_of_an_environment_do_not_replace_managed_by():
    labels = {"team": "a", "managed-by": "another tool", "environment": "another"}
    resource_labels = spec.Environment("staging", labels=labels).resource_labels()
    assert resource_labels == {"team": "a", "managed-by": "countersign", "environment": "staging"}
