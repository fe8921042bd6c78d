"""Golden pages: a chain that finds other regions, or encodes a signature differently, is refused."""

import json
import shutil

import pytest

from trainer.artifact import golden_file, golden_regions, manifest
from trainer.artifact.artifact import Artifact
from trainer.artifact.golden import GoldenMismatch

THRESHOLDS = {"signature": 0.5, "stamp": 0.5}
REGION = {"page": 1, "box": [100.0, 200.0, 300.0, 260.0], "score": 0.9, "label": "signature"}


def differ(*changed: dict, recorded=(REGION,), variant="float32") -> list[str]:
    """List the differences of answered regions, each ``REGION`` with changes."""
    answered = [{**REGION, **changes} for changes in changed]
    return list(golden_file.list_differences(recorded, answered, THRESHOLDS, variant))


@pytest.fixture
def open_chain(chain, tmp_path):
    """Return a function that opens a copy of the chain whose golden answers ``change`` has changed."""

    def open_changed(change):
        folder = tmp_path / "chain"
        shutil.copytree(chain, folder)
        path = folder / golden_file.GOLDEN_DIR / golden_file.FILE
        answers = json.loads(path.read_text())
        for answer in answers:
            change(answer)
        path.write_text(json.dumps(answers))
        manifest.write(manifest.read(folder), folder)
        artifact = Artifact(folder)
        return artifact, artifact.verifier

    return open_changed


def test_the_same_regions_in_any_order_do_not_differ():
    other = {**REGION, "label": "stamp", "box": [0.0, 0.0, 50.0, 50.0]}
    assert differ(other, {}, recorded=(REGION, other)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"page": 2},
        {"label": "stamp"},
        {"score": 0.898},
        {"score": float("nan")},
        {"box": [100.0, 200.0, 300.0, 270.0]},
        {"box": [400.0, 200.0, 600.0, 260.0]},
    ],
)
def test_a_region_that_differs_in_anything_is_reported(change):
    assert any(difference.startswith("recorded alone: signature 0.900") for difference in differ(change))


def test_a_region_that_is_missing_or_new_is_reported():
    assert len(differ()) == len(differ({}, recorded=())) == 1


def test_a_region_near_its_threshold_may_be_missing():
    near = {**REGION, "score": 0.5005}
    assert differ(recorded=(near,)) == []
    assert differ(near, recorded=()) == []


def test_quantised_scores_have_the_tolerance_of_their_variant():
    assert differ({"score": 0.88}, variant="int8") == []


def test_of_a_long_vector_the_largest_components_are_recorded_and_others():
    vector = [0.0] * 70_000
    vector[12_345] = -5.0
    components = golden_file.choose_components(vector)
    assert 12_345 in components
    assert golden_file.CHOSEN_COMPONENTS // 4 < len(components) <= golden_file.CHOSEN_COMPONENTS
    assert max(b - a for a, b in zip([-1, *components], [*components, 70_000], strict=True)) < 600
    assert golden_file.choose_components([0.5] * 40) == list(range(40))


def test_an_export_records_the_regions_of_generated_pages(finder_artifact):
    answers = golden_file.read(finder_artifact)
    variant = manifest.read(finder_artifact).variant
    assert [variant in answer.regions for answer in answers] == [True] * 3
    assert golden_regions.replay(Artifact(finder_artifact)) == 3


def test_a_chain_reproduces_its_golden_pages(open_chain):
    assert golden_regions.replay(*open_chain(lambda answer: None)) == 3


def test_a_chain_that_finds_other_regions_is_refused(open_chain):
    def add_region(answer):
        for regions in answer["regions"].values():
            regions.append(REGION)

    with pytest.raises(GoldenMismatch, match=r"recorded alone: signature 0\.900 on page 1 at 100, 200, 300, 260"):
        golden_regions.replay(*open_chain(add_region))


def test_a_chain_that_encodes_a_signature_differently_is_refused(open_chain):
    def change_encodings(answer):
        for encodings in answer["encodings"].values():
            for encoding in encodings:
                encoding["values"][0] += max(map(abs, encoding["values"]))

    with pytest.raises(GoldenMismatch, match=r"signature \d of the golden page .* is encoded"):
        golden_regions.replay(*open_chain(change_encodings))


def test_golden_answers_of_before_are_replayed_as_far_as_they_go(open_chain):
    assert golden_regions.replay(*open_chain(lambda answer: answer.pop("regions"))) == 0
