"""The audit finds duplicates and nothing else, measures shortcuts, and preparation acts on its findings."""

import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from tests import drawings
from tests.conftest import CLASSIFIER_FLAGS
from trainer import corpora, prepare
from trainer.audit import __main__ as command
from trainer.audit import leak_probe, verification_check
from trainer.audit.audit import run_audit
from trainer.data import image_features, image_index, near_duplicates, records
from trainer.generators import signatures as generator
from trainer.imaging import Imaging, canonicalise
from trainer.samples.amount import DatasetSpec

CANVAS = image_index.COMPARISON_IMAGING


def open_grey(path) -> Image.Image:
    return Image.open(io.BytesIO(path.read_bytes())).convert("L")


def rotate(path, degrees) -> Image.Image:
    image = open_grey(path)
    return image.rotate(degrees, resample=Image.Resampling.BICUBIC, fillcolor=int(np.median(image)))


def resize(path, scale) -> Image.Image:
    image = open_grey(path)
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)


COPY_METHODS = {
    "exact": lambda path, target: shutil.copy(path, target.with_suffix(path.suffix)),
    "re-encoded": lambda path, target: open_grey(path).save(target.with_suffix(".jpg"), quality=75),
    "smaller": lambda path, target: resize(path, 0.9).save(target.with_suffix(".png")),
    "larger": lambda path, target: resize(path, 1.1).save(target.with_suffix(".png")),
    "rotated": lambda path, target: rotate(path, 2).save(target.with_suffix(".png")),
}


def draw_ink(writer, number) -> np.ndarray:
    """The ink of a drawn signature without paper: ``uint8 [128, 256]``, 0 none to 255 full."""
    page = Image.fromarray(drawings.draw_signature(writer, number))
    file = io.BytesIO()
    page.save(file, "PNG")
    return canonicalise(file.getvalue(), Imaging(128, 256)).image[:, :, 0]


def audit_folder(folder, tmp_path, imaging=CANVAS):
    listings = corpora.read_corpora([(None, folder, folder.name)])
    return run_audit(image_index.build_image_index(listings[0].samples, imaging, tmp_path / "index"), listings)


@pytest.fixture(scope="module")
def writers(tmp_path_factory):
    """One genuine signature of each of 80 writers."""
    folder = tmp_path_factory.mktemp("writers") / "writers"
    for _ in generator.write_dataset(folder, DatasetSpec("writer_folders", 80, 1, 0, 0), seed=77):
        pass
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("imaging", [CANVAS, Imaging(64, 128)], ids=["96x192", "64x128"])
def test_planted_duplicates_are_found_and_signatures_of_two_writers_are_not_duplicates(writers, tmp_path, imaging):
    """The full measurement, 1,000 writers and 20 duplicates, is tests/bench/duplicates.py."""
    folder = shutil.copytree(writers, tmp_path / "writers")
    planted = set()
    for number, original in enumerate(sorted(writers.rglob("*.*"))[::5]):
        method = list(COPY_METHODS)[number % len(COPY_METHODS)]
        COPY_METHODS[method](folder / original.relative_to(writers), folder / "001" / f"copy-{number}")
        planted.add((original.relative_to(writers).as_posix(), f"copy-{number}"))
    detected = {
        tuple(sorted(name.removeprefix("writers/") for name in pair["images"]))
        for pair in audit_folder(folder, tmp_path, imaging).content["duplicates"]["pairs"]
    }
    expected = {
        tuple(sorted((original, next(p.relative_to(folder).as_posix() for p in folder.glob(f"001/{copy}.*")))))
        for original, copy in planted
    }
    assert detected <= expected, "a false pair"
    assert len(detected) >= len(expected) - 1


@pytest.mark.parametrize("shape", ["dot", "line", "block", "nothing"])
def test_unusual_ink_has_a_descriptor_and_a_correlation(shape, signature):
    image = np.zeros((96, 192), np.uint8)
    regions = {"dot": np.s_[50, 90], "line": np.s_[40:42, 10:180], "block": np.s_[:, :], "nothing": np.s_[:0, :0]}
    image[regions[shape]] = 255
    usual = canonicalise(signature, CANVAS).image[:, :, 0]
    assert near_duplicates.compute_descriptor(image).shape == (288,)
    assert near_duplicates.align_and_correlate(image, usual) < near_duplicates.MIN_CORRELATION
    assert near_duplicates.align_and_correlate(usual, image) < near_duplicates.MIN_CORRELATION
    assert near_duplicates.align_and_correlate(usual, usual) == pytest.approx(1)


def scan(signature: np.ndarray, paper: int) -> Image.Image:
    """A signature ``uint8 [h, w]`` on paper of this grey level, as another scanner would give it."""
    return Image.fromarray((signature.astype(float) * paper / 255).astype(np.uint8))


@pytest.fixture(scope="module")
def leaking(tmp_path_factory):
    """Twelve writers whose forgeries were scanned on greyer paper."""
    folder = tmp_path_factory.mktemp("leaking") / "leaking"
    for writer in range(1, 13):
        for first, name, paper in ((0, f"{writer:03d}", 250), (100, f"{writer:03d}_forg", 225)):
            (folder / name).mkdir(parents=True)
            for number in range(4):
                ink = np.pad(draw_ink(writer, first + number), 20)
                scan(255 - ink, paper).save(folder / name / f"{number}.png")
    return folder


@pytest.mark.slow
def test_a_scanner_that_gives_the_label_away_is_found_and_imaging_removes_the_leak(leaking, tmp_path):
    audit = audit_folder(leaking, tmp_path)
    (entry,) = audit.content["leak"]
    assert entry["raw"]["auc"] > 0.99
    assert entry["raw"]["verdict"] == "leak"
    assert "level" in entry["raw"]["dominant_feature"]
    assert entry["canonical"]["auc"] < 0.75
    assert [f.code for f in audit.findings if "leak" in f.code] == ["leak_removed"]
    assert not audit.has_errors


@pytest.mark.slow
def test_grey_ink_keeps_a_leak_and_the_finding_recommends_soft_binary_ink(tmp_path):
    """Forged ink is fainter: its grey levels give the label away, and only soft-binary ink hides them."""
    folder = tmp_path / "faint"
    for writer in range(1, 13):
        for name, darkness in ((f"{writer:03d}", 1.0), (f"{writer:03d}_forg", 0.5)):
            (folder / name).mkdir(parents=True)
            for number in range(4):
                ink = np.pad(draw_ink(writer, number), 20).astype(float)
                page = 245 - ink * 0.8 * darkness * (1 + number / 100)
                Image.fromarray(page.astype(np.uint8)).save(folder / name / f"{number}.png")
    audit = audit_folder(folder, tmp_path, Imaging(96, 192, ink="grey"))
    (finding,) = [f for f in audit.findings if "leak" in f.code]
    assert (finding.code, finding.severity) == ("leak_after_imaging", "error")
    assert "--ink soft-binary" in finding.message


def test_the_probe_keeps_writers_apart_and_has_no_result_for_too_few():
    rng = np.random.default_rng(1)
    writers = np.repeat(np.arange(30), 8)
    labels = np.tile(np.array(["forged", "genuine"]), 120)
    # A column that only identifies the writer carries nothing about unseen writers.
    values = np.stack([writers % 7 + 0.01 * rng.normal(size=240), rng.normal(size=240)], 1)
    result = leak_probe.probe_labels(values, ["writer", "noise"], labels, writers)
    assert result.low < 0.5 < result.high
    assert result.verdict == "no leak"
    leaking_values = values + (labels == "forged")[:, None] * [0, 6]
    result = leak_probe.probe_labels(leaking_values, ["writer", "leaking"], labels, writers)
    assert result.verdict == "leak"
    assert result.dominant_feature.startswith("leaking alone")
    few = writers < 5
    assert leak_probe.probe_labels(values[few], ["a", "b"], labels[few], writers[few]) is None
    assert leak_probe.probe_labels(values, ["a", "b"], np.full(240, "text"), writers) is None


@pytest.mark.parametrize(
    ("auc", "low", "high", "verdict"),
    [
        (0.75, 0.65, 0.85, "leak"),
        (0.80, 0.64, 0.95, "unclear"),
        (0.74, 0.60, 0.84, "no leak"),
        (0.74, 0.60, 0.86, "unclear"),
    ],
)
def test_a_verdict_needs_an_interval_on_the_same_side(auc, low, high, verdict):
    assert leak_probe.ProbeResult("genuine", auc, low, high, {}).verdict == verdict


def test_the_weighted_auc_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    truth, scores = rng.random(200) > 0.5, rng.integers(0, 20, 200).astype(float)
    weights = rng.integers(0, 4, 200)
    assert leak_probe.weighted_auc(truth, scores) == pytest.approx(roc_auc_score(truth, scores))
    expected = roc_auc_score(truth, scores, sample_weight=weights)
    assert leak_probe.weighted_auc(truth, scores, weights) == pytest.approx(expected)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_features_of_a_page_without_contrast_are_finite(level):
    assert np.isfinite(image_features.compute_features(np.full((40, 60), level, np.uint8))).all()


def rates(skilled: float, random: float, spread: float) -> dict:
    """Equal error rates as in ``report.json``, each with an interval of ``spread`` points to either side."""
    values = {"eer_skilled": skilled, "eer_random": random}
    return {**values, **{f"{name}_interval": [rate - spread, rate + spread] for name, rate in values.items()}}


def test_a_verifier_is_suspect_if_skilled_forgeries_are_significantly_easier_than_random_ones():
    references = {
        "1": rates(skilled=9.0, random=2.0, spread=0.1),
        "5": rates(skilled=1.0, random=1.9, spread=0.5),  # the intervals overlap: chance explains the order
        "10": rates(skilled=0.4, random=1.9, spread=0.5),
    }
    (finding,) = verification_check.derive_findings({"verification": {"references": references}})
    assert finding.severity == "error"
    assert "10 references" in finding.message
    assert "-0.1 to 0.9" in finding.message
    assert "1.4 to 2.4" in finding.message


@pytest.mark.parametrize("edge", [1.4, None])
def test_a_verifier_with_touching_or_missing_intervals_is_not_suspect(edge):
    touching = rates(skilled=0.4, random=1.9, spread=0.5)
    touching["eer_skilled_interval"] = edge and [0.1, edge]
    assert verification_check.derive_findings({"verification": {"references": {"1": touching}}}) == []
    assert verification_check.derive_findings({"classification": {}}) == []


@pytest.fixture
def paired(make_once, tmp_path):
    """Drawn signatures and forgeries of 12 writers, three each; a test may change its copy."""
    counts = {"genuine": 3, "forged": 3}
    original = make_once("paired", lambda folder: drawings.write_dataset(folder, "paired_folders", 12, counts))
    return shutil.copytree(original, tmp_path / "paired")


@pytest.mark.slow
def test_declared_splits_that_share_images_or_writers_are_errors(paired, tmp_path):
    both = tmp_path / "both"
    shutil.copytree(paired, both / "train")
    for name in ("001", "001_forg", "002"):
        shutil.move(both / "train" / name, both / "test" / name)
    shutil.copy(sorted((both / "train" / "005").iterdir())[0], both / "test" / "001" / "copy.png")
    audit = audit_folder(both, tmp_path)
    codes = {finding.code: finding for finding in audit.findings if finding.severity == "error"}
    assert set(codes) == {"duplicates_across_parts", "writers_across_parts"}
    assert "both: 002" in codes["writers_across_parts"].message
    assert audit.content["writer_overlap"]["writers"] == ["both: 002"]


@pytest.mark.slow
def test_one_image_with_two_labels_is_found(paired, tmp_path):
    shutil.copy(sorted((paired / "003").iterdir())[0], paired / "004_forg" / "copy.png")
    finding = audit_folder(paired, tmp_path).findings[0]
    assert finding.code == "duplicates_across_labels"
    assert "003/" in finding.message


@pytest.mark.slow
def test_the_command_writes_json_and_an_escaped_page_and_fails_on_errors_with_strict(paired, tmp_path, capsys):
    (paired / "001" / "<b>bad & worse.png").write_bytes(b"no image")
    out = tmp_path / "out"
    assert command.main([str(paired), "--out", str(out), "--strict"]) == 0
    shutil.copy(sorted((paired / "003").iterdir())[0], paired / "004_forg" / "copy.png")
    assert command.main([str(paired), "--out", str(out)]) == 0
    assert command.main([str(paired), "--out", str(out), "--strict"]) == 1
    content = json.loads((out / "audit.json").read_text())
    assert content["images"] == 74
    assert content["labels"]["genuine"]["images"] == 37
    assert content["refused"][0]["image"] == "paired/001/<b>bad & worse.png"
    page = (out / "audit.html").read_text()
    assert "&lt;b&gt;bad &amp; worse.png" in page
    assert "<b>bad" not in page
    assert page.count("<img") >= 2
    assert "http" not in page, "works offline"
    assert "duplicates_across_labels" in capsys.readouterr().out


def test_the_command_names_data_that_it_cannot_read(tmp_path, capsys):
    assert command.main([str(tmp_path / "nowhere")]) == 1
    assert "nowhere" in capsys.readouterr().err


def run_prepare(tmp_path, *flags) -> int:
    return prepare.main(
        [*flags, "--job-dir", str(tmp_path / "job"), "--problem", "genuine_vs_forged", *CLASSIFIER_FLAGS]
    )


def test_writers_in_two_splits_are_no_finding_for_a_closed_set(tensorflow, paired, tmp_path):
    for folder in sorted(paired.iterdir()):
        (tmp_path / "both" / "test" / folder.name).mkdir(parents=True)
        image = sorted(folder.iterdir())[0]
        shutil.move(image, tmp_path / "both" / "test" / folder.name / image.name)
        shutil.copytree(folder, tmp_path / "both" / "train" / folder.name)
    assert run_prepare(tmp_path, "--train-dir", str(tmp_path / "both")) == 0
    audit = json.loads((tmp_path / "job" / "audit.json").read_text())
    assert len(audit["writer_overlap"]["writers"]) == 12
    assert "writers_across_parts" not in {finding["code"] for finding in audit["findings"]}


def test_training_images_that_repeat_test_images_are_refused_or_dropped(tensorflow, paired, tmp_path, capsys):
    test = tmp_path / "test"
    for name in ("001", "001_forg"):
        shutil.move(paired / name, test / name)
    rotate(sorted((paired / "004").iterdir())[0], 1).save(test / "001" / "copy.png")
    data_flags = ["--train-dir", str(paired), "--test-dir", str(test)]
    assert run_prepare(tmp_path, *data_flags) == 1
    assert "copy.png" in capsys.readouterr().err
    assert not (tmp_path / "job" / "records").exists()
    assert run_prepare(tmp_path, *data_flags, "--drop-duplicates") == 0
    ((_, reason),) = records.read(tmp_path / "job" / "records").refused
    assert reason == "repeats the test image 001/copy.png"


def test_no_duplicate_of_a_test_image_is_a_training_image_however_many_there_are(tensorflow, paired, tmp_path):
    """An image is compared with a few candidates only, which may all be duplicates of each other."""
    test = tmp_path / "test"
    for name in ("001", "001_forg"):
        shutil.move(paired / name, test / name)
    original = sorted((test / "001").iterdir())[0]
    for number in range(3):
        shutil.copy(original, paired / "004" / f"exact-{number}{original.suffix}")
    for number in range(12):
        open_grey(original).save(paired / "005" / f"near-{number}.jpg", quality=70 + 2 * number)
    data_flags = ["--train-dir", str(paired), "--test-dir", str(test), "--drop-duplicates"]
    assert run_prepare(tmp_path, *data_flags) == 0
    refused = records.read(tmp_path / "job" / "records").refused
    assert len([reason for _, reason in refused if reason.startswith("repeats the test image")]) == 15


@pytest.mark.slow
def test_genuine_and_forged_are_probed_even_if_the_problem_gives_them_one_label(paired, tmp_path):
    shutil.copy(sorted((paired / "003").iterdir())[0], paired / "003_forg" / "copy.png")
    listing = corpora.read(paired)
    samples = [sample.relabel("signature") for sample in listing.samples]
    index = image_index.build_image_index(samples, CANVAS, tmp_path / "index")
    audit = run_audit(index, [listing])
    assert "duplicates_across_labels" not in {finding.code for finding in audit.findings}
    assert audit.content["leak"][0]["labels"] == ["forged", "genuine"]
    assert set(audit.content["labels"]) == {"signature"}


def test_images_below_the_minimum_quality_are_no_training_images(tensorflow, paired, tmp_path):
    blurred = open_grey(sorted((paired / "004").iterdir())[0]).resize((40, 20)).resize((400, 200))
    blurred.save(paired / "004" / "blurred.png")
    assert run_prepare(tmp_path, "--train-dir", str(paired), "--min-quality", "0.9", "--test-fraction", "0.1") == 0
    written = records.read(tmp_path / "job" / "records")
    is_refused = any("blurred.png" in path and "below --min-quality 0.9" in why for path, why in written.refused)
    assert is_refused or any(name.endswith("blurred.png") for _, name in written.test_images)


def test_preparation_describes_its_data_sources_and_writes_the_audit(tensorflow, paired, tmp_path):
    assert run_prepare(tmp_path, "--train-dir", str(paired)) == 0
    (source,) = records.read(tmp_path / "job" / "records").data_sources
    described = {"path": str(paired), "layout": "paired_folders", "images": 72, "corpus_id": "paired", "writers": 12}
    assert source == {**described, "digest": source["digest"]}
    audit = json.loads((tmp_path / "job" / "audit.json").read_text())
    assert audit["duplicates"]["pairs"] == []
    assert not (tmp_path / "job" / "survey").exists()
