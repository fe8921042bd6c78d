"""Environments: every key is checked, and an error names file, key and what would be right."""

import dataclasses
import re

import pytest

from deploy import spec
from deploy.spec import BadSetting
from tests.conftest import ROOT

GOOD = """
[place]
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
    """``load(text, use, **given)``: an environment of that file."""

    def loaded(text: str, use: str = "plan", **given):
        file = tmp_path / "bank.toml"
        file.write_text(text)
        return spec.load(str(file), given, use)

    return loaded


@pytest.mark.parametrize("name", ["staging", "production"])
def test_the_environments_that_come_with_it_are_good(name):
    given = {"artifact": "runs/model", "image": "x@sha256:" + "0" * 64, "training_image": "trainer"}
    for use in spec.NEEDED:
        assert spec.load(name, given, use).name == name


def test_a_flag_wins_over_a_key_that_goes_by_an_old_name(load, monkeypatch):
    @dataclasses.dataclass(frozen=True)
    class Place(spec.Place):
        region: str = spec.option("us-central1", "where everything is", was="location")

    monkeypatch.setitem(spec.SECTIONS, "place", Place)
    text = GOOD.replace("[place]", '[place]\nlocation = "us-east1"')
    assert load(text).place.region == "us-east1"
    assert load(text, region="europe-west4").place.region == "europe-west4"


def test_a_flag_wins_over_a_key(load):
    assert load(GOOD, endpoint_id="other").endpoint.endpoint_id == "other"
    assert load(GOOD).name == "bank"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('region = "Europe"', r"'Europe' is not a region"),
        ('projekt = "x"', r"unknown setting 'projekt'.*project"),
    ],
)
def test_a_wrong_place_names_file_and_key(load, line, said):
    with pytest.raises(BadSetting, match=rf"bank.toml' \[place\].*{said}"):
        load(GOOD.replace("[place]", f"[place]\n{line}"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('machine = "big"', "machine: 'big' is not a machine type"),
        ("min_replicas = 0", "min_replicas: 0 is out of range"),
        ("min_replicas = 3\nmax_replicas = 2", "max_replicas: 2 is less than min_replicas 3"),
        ("traffic = true", "traffic: true is a boolean, not a number"),
        ("min_replicas = false", "min_replicas: false is a boolean, not a number"),
        ("traffic = 101", "traffic: 101 is out of range"),
        ("target_cpu = 99.5", "target_cpu: 99.5 is"),
        ('dedicated = "maybe"', "dedicated: 'maybe' is neither true nor false"),
        ('service_account = "me"', "service_account: 'me' is not the e-mail address"),
        ("machin = 3", "unknown setting 'machin'.*machine"),
    ],
)
def test_a_wrong_endpoint_names_file_and_key(load, line, said):
    with pytest.raises(BadSetting, match=rf"bank.toml' \[endpoint\].*{said}"):
        load(GOOD + line)


@pytest.mark.parametrize(
    ("given", "nearest"),
    [
        ("T4", "NVIDIA_TESLA_T4"),
        ("nvidia_l4", "NVIDIA_L4"),
        ("A100-80GB", "NVIDIA_A100_80GB"),
        ("NVIDIA_TESLA_T5", "NVIDIA_TESLA_T4"),
    ],
)
def test_an_accelerator_that_the_api_does_not_have_is_answered_with_the_nearest_one(load, given, nearest):
    with pytest.raises(BadSetting, match=rf"accelerator: '{given}' is not one of .*, did you mean '{nearest}'\?"):
        load(GOOD, accelerator=given, accelerators=1)
    assert load(GOOD, accelerator=nearest, accelerators=1).training.accelerator == nearest


def test_an_image_by_tag_is_refused_because_a_tag_moves(load):
    with pytest.raises(
        BadSetting, match=r"\[model\].*image: 'host/predictor:latest' is not IMAGE@sha256:DIGEST; a tag"
    ):
        load(re.sub(r'image = ".*"', 'image = "host/predictor:latest"', GOOD))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[place", "is not TOML"),
        ("[plaice]\n", r"unknown table \[plaice\].*place"),
        ("place = 3\n", "it has to be a table"),
        ('[labels]\nTeam = "a"\n', r"\[labels\]: Team: 'a'"),
        ("[labels]\nteam = 3\n", r"\[labels\]: team: 3"),
        ("labels = 3\n", "it has to be a table"),
        ("", r"\[place\]: project is missing; or give --project"),
        ('[training]\naccelerators = 2\n[place]\nproject = "my-project"\n', "accelerator and accelerators go together"),
    ],
)
def test_a_file_that_is_none_says_so(load, text, said):
    with pytest.raises(BadSetting, match=said):
        load(text, "read", endpoint_id="countersign")


def test_an_unknown_environment_lists_what_there_is():
    with pytest.raises(BadSetting, match=r"no environment 'stagin'.*staging.*production, staging"):
        spec.load("stagin", {}, "read")
    with pytest.raises(BadSetting, match=r"there is no file 'none.toml'"):
        spec.load("none.toml", {}, "read")


def test_every_key_is_in_the_docs():
    page = (ROOT / "docs" / "vertex.md").read_text()
    for section, settings in spec.SECTIONS.items():
        assert f"| `[{section}]` |" in page
        assert [f.name for f in dataclasses.fields(settings) if f"`{f.name}`" not in page] == []


def test_labels_of_an_environment_do_not_hide_who_manages_it():
    labels = {"team": "a", "managed-by": "somebody", "environment": "another"}
    found = spec.Environment("staging", labels=labels).labelled()
    assert found == {"team": "a", "managed-by": "countersign", "environment": "staging"}
