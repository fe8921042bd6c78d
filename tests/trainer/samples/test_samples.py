"""The generated dataset: images follow from the seed, and writers and forgers have the properties of real ones."""

import numpy as np
import pytest

from trainer.generators import signatures as generator
from trainer.imaging import Imaging, canonicalise
from trainer.samples import font_list, fonts, handwriting, lexicon, movement, text
from trainer.samples.amount import DatasetSpec
from trainer.samples.writer import generate_forgery, generate_genuine, generate_writer


def test_an_image_is_determined_by_seed_writer_kind_and_number():
    assert generator.generate_image(3, 5, "genuine", 1) == generator.generate_image(3, 5, "genuine", 1)
    different = [
        (4, 5, "genuine", 1),
        (3, 6, "genuine", 1),
        (3, 5, "forged", 1),
        (3, 5, "genuine", 2),
        (3, 5, "text", 1),
    ]
    assert generator.generate_image(3, 5, "genuine", 1)[0] not in [
        generator.generate_image(*arguments)[0] for arguments in different
    ]


@pytest.mark.slow
def test_a_writer_does_not_depend_on_the_number_of_writers(tmp_path):
    for writers in (2, 4):
        for _ in generator.write_dataset(
            tmp_path / str(writers), DatasetSpec(writers=writers, genuine=1, forged=1, text=1), seed=9
        ):
            pass
    few, many = ({p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*.*")} for n in "24")
    assert few.items() <= many.items()


def test_every_generated_image_has_ink():
    for writer in range(1, 9):
        for kind in generator.SampleKind:
            assert canonicalise(generator.generate_image(2, writer, kind, 0)[0], Imaging()).image.any()


@pytest.mark.slow
def test_every_script_of_the_downloaded_fonts_is_printed_written_and_signed(monkeypatch):
    """The other tests use the fonts that packages carry, which have neither hands nor most scripts."""
    monkeypatch.setenv("COUNTERSIGN_FONTS", "all")
    packages, folder = font_list.load_packages(), font_list.get_font_dir()
    missing = [package for package in packages if not font_list.is_complete(package, folder)]
    if missing:
        pytest.skip(f"{len(missing)} of {len(packages)} font packages are not downloaded; `make fonts` downloads them")
    catalogue, rng = fonts.load_catalogue(), np.random.default_rng(8)
    for script in catalogue.scripts():
        words, faces = lexicon.load_lexicon(script).words, catalogue.select(script)
        assert any(fonts.can_render(face, lexicon.pick(words, rng)) for face in faces for _ in range(8)), script
        for is_hand in (True, False):
            assert text.render_words(script, 300.0, rng, is_hand).any(), script
        style = handwriting.generate_style(script, rng)
        names = [lexicon.spell_name(script, rng) for _ in range(8)]
        known = [name for name in names if isinstance(style.font, str) or fonts.can_render(style.font, name)]
        assert np.ptp(np.concatenate(handwriting.write(known[0], style, rng)), axis=0).max() > 0.3, script
    assert catalogue.select("latin", fonts.FontStyle.HAND)
    for position in range(24):
        for label in ("signature", "text"):
            assert generator.generate_canonical(label, 8, position, Imaging(64, 128)).any()


@pytest.mark.slow
def test_signatures_of_one_writer_are_more_similar_than_those_of_two():
    def canonical(writer, number):
        return (
            canonicalise(generator.generate_image(6, writer, "genuine", number)[0], Imaging()).image.astype(float) / 255
        )

    same_writer, different_writers = [], []
    for writer in range(1, 21):
        first = canonical(writer, 0)
        same_writer.append(np.abs(first - canonical(writer, 1)).mean())
        different_writers.append(np.abs(first - canonical(writer + 30, 0)).mean())
    assert np.median(same_writer) < np.median(different_writers)


def test_a_trajectory_goes_from_its_first_target_to_its_last():
    strokes = [np.array([[0.0, 0.0], [1.0, 0.5], [2.0, -0.5]]), np.array([[3.0, 0.0], [3.5, -1.0]])]
    paths = movement.compute_trajectories(strokes, movement.Motion(), np.random.default_rng(0))
    assert len(paths) == 2
    for path, targets in zip(paths, strokes, strict=True):
        np.testing.assert_allclose(path[0, :2], targets[0], atol=0.02)
        np.testing.assert_allclose(path[-1, :2], targets[-1], atol=0.03)
        assert path[0, 2] < path[:, 2].max() / 4, "it starts slowly"


def test_a_dot_is_a_movement_too():
    paths = movement.compute_trajectories([np.zeros((1, 2))] * 2, movement.Motion(), np.random.default_rng(0))
    assert [np.abs(path[:, :2]).max() for path in paths] == [0, 0]


def test_most_forgeries_are_slower_than_the_writer():
    def get_seconds(paths):
        return sum(len(path) for path in paths) * movement.TIME_STEP

    ratios = []
    for seed in range(24):
        writer = generate_writer(np.random.default_rng(seed))
        rng = np.random.default_rng(seed + 100)
        ratios.append(get_seconds(generate_forgery(writer, rng)) / get_seconds(generate_genuine(writer, rng)))
    assert 1.05 < np.median(ratios) < 1.6, "as measured on recordings of real forgers"


def test_forgeries_deviate_more_than_genuine_signatures():
    def distance(first, second):
        ends = [np.array([path[-1, :2] for path in paths]) for paths in (first, second)]
        return np.abs(ends[0] - ends[1]).mean() if len(ends[0]) == len(ends[1]) else np.nan

    genuine, forged = [], []
    for seed in range(24):
        writer, rng = generate_writer(np.random.default_rng(seed)), np.random.default_rng(seed + 50)
        original = generate_genuine(writer, rng)
        genuine.append(distance(original, generate_genuine(writer, rng)))
        forged.append(distance(original, generate_forgery(writer, rng)))
    assert np.nanmedian(forged) > 1.2 * np.nanmedian(genuine)


def test_words_of_running_text_are_shorter_than_those_of_a_lexicon():
    rng = np.random.default_rng(5)
    for script in ("latin", "arabic", "cyrillic"):
        words = lexicon.load_lexicon(script).words
        running = [lexicon.pick_running_word(script, rng) for _ in range(400)]
        assert np.mean([len(word) for word in running]) < 0.85 * np.mean([len(word) for word in words]), script
        assert min(len(word) for word in running) == 2, script


def test_an_arabic_word_is_elongated_only_where_its_letters_are_joined():
    rng = np.random.default_rng(6)
    words = lexicon.load_lexicon("arabic").words
    for word in (lexicon.pick(words, rng) for _ in range(200)):
        elongated = lexicon.elongate(word, rng)
        assert elongated.replace(lexicon.KASHIDA, "") == word.replace(lexicon.KASHIDA, "")
        before, _, _ = elongated.partition(lexicon.KASHIDA)
        assert elongated == word or before[-1] not in lexicon.UNJOINED
    assert lexicon.elongate("دار", rng) == "دار"  # no letter of it joins the next one
    assert lexicon.elongate("غليظ", rng).count(lexicon.KASHIDA) in (1, 2, 3)


def test_a_name_that_is_rendered_as_a_signature_is_in_a_font_of_a_hand(monkeypatch):
    rendered = []

    def render(script, *_, **_options):
        rendered.append(script)
        return np.ones((40, 90), np.float32)

    monkeypatch.setattr(text, "render_words", render)
    for seed in range(60):
        text.generate_written_name(90.0, 0.02, np.random.default_rng(seed))
    catalogue = fonts.load_catalogue()
    assert [script for script in set(rendered) - {"latin"} if not catalogue.select(script, *text.HANDS)] == []
