"""The protocol and its numbers against brute force and scikit-learn; calibration on people never calibrated with."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sk

from trainer.artifact.decision import from_manifest
from trainer.corpora import Sample
from trainer.evaluation import calibration, protocol
from trainer.evaluation.metrics import Ranking, calibration_curve, errors
from trainer.evaluation.protocol import GENUINE, RANDOM, SKILLED, NothingToCompare, Truth, compare, measure


def people(count, genuine=14, forged=10, seed=0, spread=0.35, skill=0.75, origin="here"):
    """Unit vectors of writers who are near themselves, forgers who are near too, and their samples."""
    rng = np.random.default_rng(seed)
    vectors, samples = [], []
    for writer in range(count):
        centre, own = rng.normal(size=32), spread * rng.uniform(0.7, 1.4)
        for number in range(genuine + forged):
            real = number < genuine
            aim = centre if real else skill * centre + 0.6 * rng.normal(size=32)
            vectors.append(aim + own * rng.normal(size=32))
            label = "genuine" if real else "forged"
            samples.append(Sample(Path(), f"{writer}/{number}", label, f"w{writer:03d}", origin))
    unit = np.stack(vectors).astype(np.float32)
    return unit / np.linalg.norm(unit, axis=1, keepdims=True), samples


def targets_of(samples):
    truth = Truth.of(samples)
    return {"label": np.where(truth.genuine, 0, 1), "writer": truth.writer, "source": truth.source}


@pytest.fixture(scope="module")
def decision():
    vectors, samples = people(120, seed=1)
    return calibration.verify(("genuine", "forged"), vectors, targets_of(samples))


def brute_force_eer(score, genuine):
    """The least worst of both rates over every threshold there is, and between neighbours on a straight line."""
    points = []
    for threshold in [np.inf, *sorted(set(score.tolist()), reverse=True)]:
        accepted = score >= threshold
        points.append((np.mean(accepted[~genuine]), np.mean(~accepted[genuine])))
    for (far, frr), (far2, frr2) in itertools.pairwise(points):
        if far2 >= frr2:
            share = (frr - far) / ((frr - far) + (far2 - frr2))
            return 100 * (far + share * (far2 - far))
    raise AssertionError


@pytest.mark.parametrize("seed", range(6))
def test_the_equal_error_rate_is_that_of_trying_every_threshold_and_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    genuine = rng.random(200) < 0.3
    score = np.round(rng.normal(size=200) + genuine * rng.uniform(0, 3), 1)  # with ties
    found = errors(score, genuine)
    assert found.equal() == pytest.approx(brute_force_eer(score, genuine))
    assert found.area() == pytest.approx(sk.roc_auc_score(genuine, score))
    far, hits, _ = sk.roc_curve(genuine, score, drop_intermediate=False)
    np.testing.assert_allclose(found.far, far)
    np.testing.assert_allclose(found.frr, 1 - hits)


def test_a_weight_counts_as_so_many_repetitions():
    rng = np.random.default_rng(3)
    score, genuine, times = rng.normal(size=80), rng.random(80) < 0.5, rng.integers(0, 4, 80)
    weighted = Ranking(score, genuine).errors(times.astype(float)).equal()
    assert weighted == pytest.approx(errors(np.repeat(score, times), np.repeat(genuine, times)).equal())


def test_perfect_and_reversed_scores_are_0_and_100_percent():
    score, genuine = np.arange(10.0), np.arange(10) >= 5
    assert errors(score, genuine).equal() == 0
    assert errors(-score, genuine).equal() == 100


def test_expected_calibration_error_is_that_of_counting_bins():
    rng = np.random.default_rng(8)
    probability, genuine = rng.random(500), rng.random(500) < 0.5
    weight = np.where(genuine, 0.5 / genuine.sum(), 0.5 / (~genuine).sum())
    expected = 0.0
    for low in np.arange(10) / 10:
        here = (probability >= low) & (probability < low + 0.1)
        expected += abs(np.sum(weight[here] * probability[here]) - np.sum(weight[here] * genuine[here]))
    assert calibration_curve(probability, genuine)["ece"] == pytest.approx(expected)


@pytest.mark.parametrize("references", protocol.REFERENCES)
def test_the_protocol_questions_every_other_genuine_one_every_forgery_and_other_people(references):
    vectors, samples = people(5)
    truth = Truth.of(samples)
    asked = []

    def score(questioned, chosen):
        asked.append((questioned, chosen))
        return np.zeros(len(questioned))

    found = compare(vectors, truth, references, score, draws=2)
    assert len(asked) == 10
    for questioned, chosen in asked:
        assert len(chosen) == references
        assert not (questioned[:, None] == chosen[None]).all(axis=2).any(), "no reference is questioned"
    assert np.count_nonzero(found.kind == GENUINE) == 10 * (14 - references)
    assert np.count_nonzero(found.kind == SKILLED) == 10 * 10
    assert np.count_nonzero(found.kind == RANDOM) == 10 * protocol.OTHERS


def test_random_forgeries_come_from_the_same_source_and_writers_with_too_few_are_left_out():
    vectors, samples = people(3)
    more, others = people(3, genuine=4, seed=9, origin="there")
    truth = Truth.of([*samples, *others])
    everything = np.concatenate([vectors, more])
    found = compare(everything, truth, 5, lambda q, r: np.zeros(len(q)), draws=1)
    assert len(np.unique(found.writer)) == 3
    sources = {row.tobytes(): source for row, source in zip(everything, truth.source, strict=True)}

    def mixed(questioned, chosen):
        own = sources[chosen[0].tobytes()]
        return np.array([float(sources[row.tobytes()] != own) for row in questioned])

    assert not compare(everything, truth, 1, mixed, draws=1).score.any()


def test_every_number_of_the_report_is_there_and_true(decision):
    vectors, samples = people(12, seed=5)
    numbers = json.loads(json.dumps(measure(vectors, samples, decision)))
    assert list(numbers["references"]) == ["1", "5", "10"]
    ten = numbers["references"]["10"]
    found = compare(vectors, Truth.of(samples), 10, decision.evidence)
    skilled = found.against(SKILLED)
    assert ten["eer_skilled"] == pytest.approx(brute_force_eer(skilled.score, skilled.kind == GENUINE))
    assert ten["auc_skilled"] == pytest.approx(sk.roc_auc_score(skilled.kind == GENUINE, skilled.score))
    low, high = ten["eer_skilled_interval"]
    assert low <= ten["eer_skilled"] <= high
    at = ten["thresholds"]["eer"]
    accepted = found.score >= decision.threshold("eer", 10)
    assert at["frr"] == pytest.approx(100 * np.mean(~accepted[found.kind == GENUINE]))
    assert at["far_skilled"] == pytest.approx(100 * np.mean(accepted[found.kind == SKILLED]))
    assert at["far_random"] == pytest.approx(100 * np.mean(accepted[found.kind == RANDOM]))
    assert ten["conclusive"]["far_skilled"] < at["far_skilled"], "doubtful ones are where the errors are"
    each = [numbers["references"][n]["eer_skilled"] for n in ("1", "5", "10")]
    assert each[0] > each[2], "more references, fewer errors"
    assert len(numbers["by_writer"]) == 12
    assert numbers["by_source"]["here"]["10"]["eer_skilled"] == pytest.approx(ten["eer_skilled"])


def test_the_pair_error_compares_single_signatures_of_one_writer():
    vectors, samples = people(4, genuine=5, forged=3)
    score, genuine = [], []
    for one, other in itertools.combinations(range(len(samples)), 2):
        labels = {samples[one].label, samples[other].label}
        if samples[one].writer == samples[other].writer and "genuine" in labels:
            score.append(float(vectors[one] @ vectors[other]))
            genuine.append(labels == {"genuine"})
    found = protocol._pairs(vectors, Truth.of(samples))
    assert found["eer"] == pytest.approx(brute_force_eer(np.array(score), np.array(genuine)))
    assert (found["genuine"], found["forged"]) == (4 * 10, 4 * 15)


def test_genuine_signatures_alone_are_judged_by_random_forgeries(decision):
    vectors, samples = people(6, forged=0)
    numbers = measure(vectors, samples, decision)
    assert numbers["references"]["10"]["eer_skilled"] is None
    assert numbers["references"]["10"]["eer_random"] < 5
    assert numbers["calibration"] is None


def test_data_without_two_signatures_of_anybody_is_refused_in_words(decision):
    vectors, samples = people(3, genuine=1, forged=0)
    with pytest.raises(NothingToCompare, match="name the writers"):
        measure(vectors, samples, decision)


def test_scores_of_people_never_seen_are_calibrated_and_so_are_thresholds(decision):
    """For 1 to 10 references with one threshold; half of the tolerance that real writers are held to."""
    vectors, samples = people(120, seed=77)
    truth = Truth.of(samples)
    for references in (1, 3, 10):
        part = compare(vectors, truth, references, decision.evidence).against(SKILLED)
        probability = 1 / (1 + np.exp(-part.score))
        assert calibration_curve(probability, part.kind == GENUINE)["ece"] < 0.05
        forged = compare(vectors, truth, references, decision.evidence)
        passed = forged.score[forged.kind == SKILLED] >= decision.threshold("0.01", references)
        assert 0.005 < np.mean(passed) < 0.02


@pytest.mark.parametrize("writers", [3, 6, 16, 60])
@pytest.mark.parametrize("forged", [0, 8])
def test_a_smaller_rate_never_accepts_more_and_admits_no_more_than_was_counted(writers, forged):
    vectors, samples = people(writers, seed=writers, forged=forged)
    found = calibration.verify(("genuine", "forged"), vectors, targets_of(samples))
    for references in (1, 5, 10):
        equal, one, tenth = (found.threshold(name, references) for name in ("eer", "0.01", "0.001"))
        assert equal <= one <= tenth
        kind = SKILLED if forged else RANDOM
        seen = compare(vectors, Truth.of(samples), references, found.evidence)
        assert np.mean(seen.score[seen.kind == kind] >= one) <= 0.02
        low, high = found.edges(references, 0.01)
        assert low <= high


def test_what_more_references_add_is_not_guessed_beyond_what_was_seen():
    vectors, samples = people(30, genuine=4, seed=3)
    found = calibration.verify(("genuine", "forged"), vectors, targets_of(samples))
    assert found.most == 3
    assert found.more(10) == np.log(3)


def test_intervals_hold_the_rate_when_few_writers_have_forgeries(decision):
    vectors, samples = people(2, seed=8, skill=0.97)
    more, others = people(20, forged=0, seed=9, origin="there")
    ten = measure(np.concatenate([vectors, more]), [*samples, *others], decision)["references"]["10"]
    low, high = ten["eer_skilled_interval"]
    assert low <= ten["eer_skilled"] <= high
    assert low > 0, "no round of the bootstrap is without forgeries"


def test_one_person_with_forgeries_can_be_measured(decision):
    vectors, samples = people(1, seed=4)
    numbers = measure(vectors, samples, decision)
    assert numbers["references"]["10"]["eer_random"] is None
    assert numbers["references"]["10"]["eer_skilled"] is not None
    protocol.check(samples)
    with pytest.raises(NothingToCompare, match="--test-fraction"):
        protocol.check(samples[:1])


def test_what_is_no_signature_is_rejected_and_nobodys_reference(decision):
    vectors, samples = people(5, seed=6)
    vectors[0] = 0
    found = compare(vectors, Truth.of(samples), 10, decision.evidence)
    assert np.count_nonzero(np.isneginf(found.score[(found.writer == 0) & (found.kind == GENUINE)])) == 5
    numbers = measure(vectors, samples, decision)
    assert numbers["not_a_signature"] == {"genuine": 1, "forged": 0}
    assert numbers["references"]["10"]["thresholds"]["eer"]["frr"] > 0


def test_a_decision_survives_the_manifest(decision):
    assert from_manifest(json.loads(json.dumps(decision.describe()))) == decision


def test_a_useless_encoder_still_gives_a_decision_that_never_prefers_the_unlike():
    vectors = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = calibration.verify(
        ("genuine", "forged"),
        vectors,
        {"label": np.arange(60) % 2, "writer": np.arange(60) // 6, "source": np.zeros(60)},
    )
    assert found.a0 > 0
    assert found.a0 + found.a1 * np.log(found.most) > 0


def test_an_encoder_that_prefers_forgeries_gives_a_decision_that_does_not():
    """Genuine signatures are unlike each other, and each forgery is the mean of its writer's genuine ones."""
    rng = np.random.default_rng(5)
    real = rng.normal(size=(30, 6, 32))
    vectors = np.concatenate([real, np.repeat(real.mean(axis=1, keepdims=True), 4, axis=1)], axis=1).reshape(-1, 32)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    label = np.tile([0] * 6 + [1] * 4, 30)
    targets = {"label": label, "writer": np.arange(300) // 10, "source": np.zeros(300)}
    found = calibration.verify(("genuine", "forged"), vectors, targets)
    assert found.a0 > 0
    assert found.a0 + found.a1 * np.log(found.most) > 0


def test_a_writer_with_as_many_signatures_as_references_has_none_left_to_question():
    vectors, samples = people(4, genuine=6, forged=2)
    truth = Truth.of(samples[:5] + samples[8:])  # the first writer has five genuine signatures and no forgery
    kept = np.concatenate([vectors[:5], vectors[8:]])
    assert 0 not in compare(kept, truth, 5, lambda questioned, _: np.zeros(len(questioned))).writer
    assert 0 in compare(kept, truth, 4, lambda questioned, _: np.zeros(len(questioned))).writer


def test_scores_on_the_threshold_are_accepted_and_inconclusive_ones_are_not_counted_among_random_forgeries(decision):
    low, high = decision.edges(1)
    kinds = np.array([GENUINE, GENUINE, SKILLED, SKILLED, RANDOM, RANDOM, RANDOM])
    scores = np.array([high, low, low, low - 9, low, low, low])
    numbers = protocol._numbers(protocol.Comparisons(scores, kinds, np.zeros(7, int)), 1, decision)
    assert numbers["inconclusive"] == pytest.approx(100 * 2 / 4), "random forgeries are not of the share"
    equal = decision.threshold("eer", 1)
    at = protocol._at(protocol.Comparisons(np.full(7, equal), kinds, np.zeros(7, int)), equal)
    assert at == {"frr": 0.0, "far_skilled": 100.0, "far_random": 100.0}


def test_the_interval_holds_nineteen_of_twenty_rounds_of_the_bootstrap(decision):
    vectors, samples = people(40, seed=3, skill=0.97)
    found = compare(vectors, Truth.of(samples), 5, decision.evidence).against(SKILLED)
    writers, place = np.unique(found.writer, return_inverse=True)
    ranking = Ranking(found.score, found.kind == GENUINE)
    rates = [ranking.errors(times[place]).equal() for times in protocol._redrawn(found, writers)]
    low, high = protocol._against(found, "skilled", SKILLED)["eer_skilled_interval"]
    assert np.mean([low <= rate <= high for rate in rates]) == pytest.approx(0.95, abs=0.02)


def test_every_writer_weighs_alike_in_the_calibration_and_so_do_both_kinds():
    kind = np.array([GENUINE] * 9 + [SKILLED] * 4)
    writer = np.array([0] * 8 + [1] + [0] * 3 + [1])
    weight = calibration._even(protocol.Comparisons(np.zeros(13), kind, writer))
    for own in (kind == GENUINE, kind == SKILLED):
        assert [weight[own & (writer == one)].sum() for one in (0, 1)] == pytest.approx([0.25, 0.25])


def test_a_tenth_of_the_validation_comparisons_is_inconclusive(decision):
    """Over all numbers of references together, every writer weighing alike."""
    vectors, samples = people(120, seed=1)
    inconclusive, weight = [], []
    for references in (1, 2, 3, 5, 7, 10):
        found = compare(vectors, Truth.of(samples), references, decision.evidence).against(SKILLED)
        inconclusive.append(decision.is_inconclusive(found.score, references))
        weight.append(calibration._even(found))
    share = np.average(np.concatenate(inconclusive), weights=np.concatenate(weight))
    assert share == pytest.approx(0.10, abs=0.005)


@pytest.mark.parametrize(("writers", "genuine"), [(1, 8), (8, 1)])
def test_a_validation_part_that_cannot_be_compared_is_refused_with_the_flag_to_change(writers, genuine):
    vectors, samples = people(writers, genuine=genuine, forged=0)
    with pytest.raises(NothingToCompare, match="--validation-fraction"):
        calibration.watch(vectors, targets_of(samples))


def test_a_probability_of_1_is_in_the_last_bin():
    bins = calibration_curve(np.array([0.0, 0.95, 1.0]), np.array([False, True, True]))["bins"]
    assert [each["predicted"] for each in bins] == pytest.approx([0.0, 0.975])
