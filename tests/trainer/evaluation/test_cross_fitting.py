"""The comparison of two calibrations on writers that the new one has not seen."""

import dataclasses

import numpy as np
import pytest

from tests.trainer.evaluation.vectors import fit_verifier, make_writers
from trainer.evaluation import cross_fitting
from trainer.evaluation.protocol import GroundTruth, NoComparisons


def measure(present=None, **writers):
    vectors, samples = make_writers(**writers)
    return cross_fitting.compare_calibrations(present or fit_verifier(), vectors, GroundTruth.from_samples(samples))


def test_a_calibration_on_better_forgeries_restores_the_false_acceptance_rate():
    measured = measure(count=25, seed=8, skill=0.9)
    assert (measured["rate"], measured["forgeries"]) == (0.01, "skilled")
    for count in ("1", "5", "10"):
        before, after = (measured["references"][count][name] for name in ("before", "after"))
        assert before["far"] > 2
        assert before["far"] > after["far_interval"][1]
        assert after["far"] < 2
        for metrics in (before, after):
            for name in ("eer", "frr", "far"):
                low, high = metrics[f"{name}_interval"]
                assert low <= metrics[name] <= high


def test_writers_without_forgeries_are_measured_with_random_ones():
    measured = measure(count=12, forged=0, seed=8)
    assert measured["forgeries"] == "random"
    assert measured["references"]["1"]["after"]["far"] < 3


@pytest.mark.parametrize(
    ("writers", "message"),
    [
        ({"count": 9}, "9 writers have two genuine signatures or more; a calibration needs 10"),
        ({"count": 30, "genuine": 1}, "0 writers have two genuine"),
    ],
)
def test_too_few_writers_are_refused_with_their_number(writers, message):
    with pytest.raises(NoComparisons, match=message):
        measure(**writers)


def test_forgeries_of_too_few_writers_are_refused_with_what_to_do():
    vectors, samples = make_writers(12, seed=8)
    kept = [index for index, sample in enumerate(samples) if sample.label == "genuine" or sample.writer < "w004"]
    truth = GroundTruth.from_samples([samples[index] for index in kept])
    with pytest.raises(NoComparisons, match="4 writers have skilled forgeries"):
        cross_fitting.compare_calibrations(fit_verifier(), vectors[kept], truth)


def test_a_writer_is_in_one_fold_and_each_fold_has_writers_with_forgeries():
    _, samples = make_writers(23, seed=8)
    kept = [sample for sample in samples if sample.label == "genuine" or sample.writer < "w010"]
    truth = GroundTruth.from_samples(kept)
    folds = cross_fitting._assign_folds(truth)
    for writer in np.unique(truth.writer):
        assert len(set(folds[truth.writer == writer])) == 1
    for fold in range(cross_fitting.FOLDS):
        assert len(np.unique(truth.writer[(folds == fold) & ~truth.genuine])) == 2


def test_a_rate_that_the_present_decision_does_not_know_is_not_invented():
    fitted = fit_verifier()
    present = dataclasses.replace(
        fitted,
        thresholds={name: fitted.thresholds[name] for name in ("eer", "0.1")},
        far_intervals={"0.1": fitted.far_intervals["0.1"]},
    )
    measured = measure(present, count=20, seed=8)
    before, after = measured["references"]["1"].values()
    assert after.keys() - before.keys() == {"frr", "frr_interval", "far", "far_interval"}
    assert measured["rate"] < 0.1
    rows = [line.split(" | ") for line in cross_fitting.format_table(measured).splitlines()]
    assert f"FAR % at far {measured['rate']:g} |" in rows[0]
    assert rows[2][1:3] == ["20", "before"]
    assert rows[2][4:] == ["not stored", "not stored |"]
    assert float(rows[3][5].split()[0]) == pytest.approx(after["far"], abs=0.005), "in percent"
