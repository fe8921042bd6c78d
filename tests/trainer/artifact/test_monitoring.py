"""What is watched of a model: signals in buckets, answers without names, and their stored forms."""

import collections
import json

import pytest

from trainer.artifact import monitoring
from trainer.artifact.monitoring import SIGNALS, BadDistributions, Distributions, Observation


def count(*observations: Observation) -> Distributions:
    distributions = Distributions()
    for observation in observations:
        distributions.add(observation)
    return distributions


EXAMPLE = count(
    Observation("accept", ("blurred",), (("score", 0.97), ("ink_share", 0.02), ("distance", 0.4))),
    Observation("reject", (), (("score", 0.001), ("ink_share", 0.9), ("distance", 9.0))),
)


@pytest.mark.parametrize("name", list(SIGNALS))
def test_a_value_counts_in_the_first_bucket_whose_edge_it_does_not_exceed(name):
    edges = SIGNALS[name].edges
    assert list(edges) == sorted(set(edges))
    for number, edge in enumerate(edges):
        assert count(Observation("accept", (), ((name, edge),))).signals[name][number] == 1
    assert count(Observation("accept", (), ((name, edges[-1] + 1),))).signals[name][len(edges)] == 1


def test_the_form_of_the_manifest_is_read_as_it_was_written():
    assert Distributions.from_json(json.loads(json.dumps(EXAMPLE.to_json()))) == EXAMPLE


def test_a_line_of_the_log_is_read_as_it_was_written_also_with_the_floats_of_cloud_logging():
    line = EXAMPLE.to_line()
    assert Distributions.from_line(json.loads(json.dumps(line))) == EXAMPLE
    as_floats = {**line, "images": 2.0, "answers": {"accept": 1.0, "reject": 1.0}}
    assert Distributions.from_line(as_floats) == EXAMPLE


def test_counts_are_added():
    total = Distributions()
    for _ in range(3):
        total.merge(EXAMPLE)
    assert total.images == 6
    assert total.answers == {"accept": 3, "reject": 3}
    assert sum(total.signals["score"]) == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": None}, "no distributions"),
        ({"signals": {"score": {"edges": [0.5], "counts": [1, 2]}}}, "buckets of another release"),
        ({"signals": {"unheard_of": {"edges": [0.5], "counts": [1, 2]}}}, "buckets of another release"),
        ({"signals": {"score": {"edges": list(SIGNALS["score"].edges), "counts": [1]}}}, "has 1 counts"),
        ({"answers": ["accept"]}, "no distributions"),
    ],
)
def test_damaged_distributions_and_those_of_another_release_are_refused(change, message):
    with pytest.raises(BadDistributions, match=message):
        Distributions.from_json({**EXAMPLE.to_json(), **change})


@pytest.mark.parametrize("line", [{}, {"images": 1, "answers": 3}, {"images": 1, "answers": {}, "score": {"99": 1}}])
def test_a_damaged_line_is_refused(line):
    with pytest.raises(BadDistributions):
        Distributions.from_line(line)


def test_the_label_of_a_closed_set_is_not_told_because_it_is_a_persons_name():
    assert monitoring._name_answer({"label": "Ann Example", "score": 0.9}) == "known_writer"
    assert monitoring._name_answer({"decision": "identified", "writer": "Ann Example"}) == "identified"
    assert monitoring._name_answer({"label": "signature"}) == "signature"
    assert monitoring._name_answer({"embedding": [1.0]}) == "embedding"


def test_the_distributions_of_an_artefact_are_those_of_its_validation_images(artifact, verifier_artifact):
    from trainer.artifact import manifest

    described = manifest.read(artifact)
    watched = Distributions.from_json(described.monitoring)
    assert watched.images > 10
    assert set(watched.answers) <= {"signature", "text"}
    assert {"score", "ink_share", "contrast", "edge_width"} <= set(watched.signals)
    assert sum(watched.signals["score"]) == watched.images
    verified = Distributions.from_json(manifest.read(verifier_artifact).monitoring)
    assert sum(verified.signals["distance"]) == verified.images - verified.answers["not_a_signature"] > 10
    assert isinstance(verified.answers, collections.Counter)
