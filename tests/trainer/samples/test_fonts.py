"""Fonts: the list is pinned, downloads are whole or absent, and text is drawn with its script's glyphs or not at all.

No test needs a network or the downloaded fonts: an executable ``npm`` packs tarballs made of a font of matplotlib.
"""

import base64
import concurrent.futures
import dataclasses
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import features

from tests.conftest import ROOT
from trainer.samples import __main__ as samples_command
from trainer.samples import font_download, font_list, fonts
from trainer.samples.font_list import FontError, FontPackage
from trainer.samples.fonts import FontCatalogue, FontFace, FontStyle, MissingGlyph

TTF = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
DEJAVU, ROMAN = TTF / "DejaVuSans.ttf", TTF / "cmr10.ttf"  # Computer Modern has no Greek letters
FACE = FontFace("DejaVu Sans", "latin", FontStyle.PRINT, DEJAVU)
NPM = """#!{python}
import pathlib, shutil, signal, sys
registry = pathlib.Path({registry!r})
names = [argument for argument in sys.argv[2:] if argument.startswith("@")]
with (registry / "calls").open("a") as calls:
    print(*names, file=calls)
if (registry / "hang").exists():
    pathlib.Path("fontsource-incomplete.tgz").write_bytes(b"half")
    with (registry / "hang").open("w"):  # a named pipe: opened when the test reads it
        signal.pause()
for name in names:
    tarball = name[1:].replace("/", "-").replace("@", "-") + ".tgz"
    if not (registry / tarball).exists():
        sys.exit("npm error 404 Not Found - " + name)
    shutil.copy(registry / tarball, tarball)
"""


@pytest.fixture(autouse=True)
def all_fonts(monkeypatch):
    """All fonts of the machine, as users have them; the other tests use those that packages carry."""
    monkeypatch.setenv("COUNTERSIGN_FONTS", "all")


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """A folder of tarballs, and an ``npm`` in the only folder of PATH that copies them."""
    folder = tmp_path / "registry"
    folder.mkdir()
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(NPM.format(python=sys.executable, registry=str(folder)))
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(npm.parent))
    return folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of downloaded fonts in an empty cache."""
    monkeypatch.setenv("COUNTERSIGN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "fonts"


def publish(registry, name="quill", license="OFL-1.1", version="1.0.0"):
    """Put a tarball into the registry; return its entry of the list. Its font is unpacked TrueType, which loads too."""
    package = FontPackage(name, name.title(), "hand", version, license, "", ("400-normal",), {"latin": ("latin",)})
    contents = {
        "package/package.json": json.dumps({"license": license}).encode(),
        "package/LICENSE": b"a licence",
        f"package/files/{name}-latin-400-normal.woff2": DEJAVU.read_bytes(),
        f"package/files/{name}-latin-900-normal.woff2": b"a weight that is not needed",
    }
    with tarfile.open(registry / package.tarball_name, "w:gz", compresslevel=1) as archive:
        for path, data in contents.items():
            member = tarfile.TarInfo(path)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    digest = hashlib.sha512((registry / package.tarball_name).read_bytes()).digest()
    return dataclasses.replace(package, integrity="sha512-" + base64.b64encode(digest).decode())


def list_files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.name != ".lock")


def test_the_list_pins_every_package_by_version_checksum_and_licence():
    packages = font_list.load_packages()
    assert len({package.name for package in packages}) == len(packages)
    for package in packages:
        assert re.fullmatch(r"\d+\.\d+\.\d+", package.version), package.name
        algorithm, _, digest = package.integrity.partition("-")
        assert (algorithm, len(base64.b64decode(digest))) == ("sha512", 64), package.name
        assert package.license in ("OFL-1.1", "Apache-2.0"), package.name
        assert FontStyle(package.style)
        assert set(package.subsets) <= set(fonts.SCRIPTS), package.name
        assert all(package.subsets.values()), package.name
        assert package.variants, package.name


def test_the_list_has_many_hands_and_every_script():
    packages = font_list.load_packages()
    hands = {package.family for package in packages if package.style == "hand" and "latin" in package.subsets}
    assert len(hands) >= 40
    assert {script for package in packages for script in package.subsets} == set(fonts.SCRIPTS)
    assert set(font_list.load_samples()) == set(fonts.SCRIPTS)


def test_a_download_keeps_the_needed_files_and_the_licence_and_is_not_repeated(registry, tmp_path):
    packages = (publish(registry), publish(registry, "reed"))
    progress = []
    font_download.download_fonts(packages, tmp_path / "fonts", progress.append)
    assert [name for name in list_files(tmp_path / "fonts") if "." in Path(name).name or "LICENSE" in name] == [
        "quill-1.0.0",
        "quill-1.0.0/LICENSE",
        "quill-1.0.0/quill-latin-400-normal.woff2",
        "reed-1.0.0",
        "reed-1.0.0/LICENSE",
        "reed-1.0.0/reed-latin-400-normal.woff2",
    ]
    assert progress == [0, 2]
    newer = publish(registry, "reed", version="1.0.1")
    font_download.download_fonts((packages[0], newer), tmp_path / "fonts")
    assert (registry / "calls").read_text().splitlines() == [
        "@fontsource/quill@1.0.0 @fontsource/reed@1.0.0",
        "@fontsource/reed@1.0.1",
    ]
    table = font_download.format_table((packages[0], newer), tmp_path / "fonts")
    assert re.search(r"Quill +1\.0\.0 +OFL-1\.1 +[\d,]+\n", table)
    assert f"{2 * DEJAVU.stat().st_size:,} bytes" in table


def test_a_wrong_checksum_is_refused_and_nothing_is_left(registry, tmp_path):
    package = dataclasses.replace(publish(registry), integrity=publish(registry, "reed").integrity)
    with pytest.raises(FontError, match=r"quill@1\.0\.0 has the checksum sha512-.*nothing of it was kept"):
        font_download.download_fonts((package,), tmp_path / "fonts")
    assert list_files(tmp_path / "fonts") == []


def test_a_licence_that_is_not_allowed_is_refused_in_the_list_and_in_the_tarball(registry, tmp_path):
    package = publish(registry, license="UFL-1.0")
    path = tmp_path / "fonts.json"
    path.write_text(json.dumps({"packages": [dataclasses.asdict(package)]}))
    with pytest.raises(FontError, match=r"'UFL-1\.0'; only fonts under OFL-1\.1 or Apache-2\.0"):
        font_list.load_packages(path)
    with pytest.raises(FontError, match=r"quill@1\.0\.0 is under the licence 'UFL-1\.0'"):
        font_download.download_fonts((dataclasses.replace(package, license="OFL-1.1"),), tmp_path / "fonts")
    assert list_files(tmp_path / "fonts") == []


def test_a_package_that_is_not_in_the_registry_or_lacks_a_file_is_named(registry, tmp_path):
    package = publish(registry)
    with pytest.raises(FontError, match=r"cannot download @fontsource/quill@2\.0\.0: npm error 404 Not Found"):
        font_download.download_fonts((dataclasses.replace(package, version="2.0.0"),), tmp_path / "fonts")
    greek = dataclasses.replace(package, subsets={"greek": ("greek",)})
    with pytest.raises(FontError, match="has no file package/files/quill-greek-400-normal"):
        font_download.download_fonts((greek,), tmp_path / "fonts")
    assert list_files(tmp_path / "fonts") == []


def test_a_killed_download_leaves_nothing_that_looks_whole_and_the_next_continues(registry, tmp_path):
    first, second = publish(registry), publish(registry, "reed")
    folder = tmp_path / "fonts"
    font_download.download_fonts((first,), folder)
    os.mkfifo(registry / "hang")
    entry = json.dumps({"packages": [dataclasses.asdict(second)]})
    (tmp_path / "list.json").write_text(entry)
    code = "import sys, pathlib; from trainer.samples import font_download as d; "
    code += "d.download_fonts(d.load_packages(pathlib.Path(sys.argv[1])), pathlib.Path(sys.argv[2]))"
    command = [sys.executable, "-c", code, str(tmp_path / "list.json"), str(folder)]
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True) as process, (registry / "hang").open():
        os.killpg(process.pid, signal.SIGKILL)  # npm has written half a file, then opened the pipe
    assert list(folder.rglob("fontsource-incomplete.tgz")), "the download was interrupted"
    assert font_list.is_complete(first, folder)
    assert not font_list.is_complete(second, folder)
    (registry / "hang").unlink()
    font_download.download_fonts((first, second), folder)
    assert font_list.is_complete(second, folder)
    assert not list(folder.glob(".partial-*"))
    assert (registry / "calls").read_text().splitlines()[-1] == "@fontsource/reed@1.0.0"


def test_without_npm_the_command_says_how_to_install_it(cache, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert font_download.main([]) == 1
    assert re.search(r"npm is not installed.*apt-get install npm", capsys.readouterr().err)
    assert not cache.exists()


def test_the_catalogue_has_the_downloaded_fonts_and_its_digest_depends_on_them_alone(cache, tmp_path, monkeypatch):
    without = fonts.load_catalogue()
    package = next(package for package in font_list.load_packages() if package.name == "caveat")
    catalogues = []
    for root in (tmp_path / "first", tmp_path / "second"):
        (root / "fonts" / package.folder_name).mkdir(parents=True)
        for name in package.list_file_names():
            (root / "fonts" / package.folder_name / name).write_bytes(DEJAVU.read_bytes())
        monkeypatch.setenv("COUNTERSIGN_CACHE", str(root))
        catalogues.append(fonts.load_catalogue())
    catalogue = catalogues[0]
    hands = [face for face in catalogue.select("cyrillic", FontStyle.HAND) if face.family == "Caveat"]
    assert [face.path.name for face in hands] == ["caveat-cyrillic-400-normal.woff2"]
    assert [path.name for path in hands[0].companions] == ["caveat-latin-400-normal.woff2"]
    assert fonts.render_text(hands[0], "договор 12", 32).any()
    assert hands[0] not in catalogue.select("cyrillic", FontStyle.PRINT)
    assert set(without.select("cyrillic")) < set(catalogue.select("cyrillic"))
    assert list(catalogue.select("latin")) == sorted(catalogue.select("latin"), key=lambda f: (f.family, f.path.name))
    assert catalogues[1].digest() == catalogue.digest() != without.digest()


def test_fonts_of_matplotlib_render_some_scripts_without_a_download(cache):
    catalogue = fonts.load_catalogue()
    assert {"latin", "greek", "cyrillic", "georgian", "armenian"} <= set(catalogue.scripts())
    assert "cmsy10" not in {face.path.stem for face in catalogue.faces}, "symbols"
    assert {face.style for face in catalogue.faces if face.path.stem == "DejaVuSansMono"} == {FontStyle.MACHINE}
    assert set(catalogue.scripts()) | set(catalogue.missing_scripts()) == set(fonts.SCRIPTS)
    for face in catalogue.faces:
        assert fonts.can_render(face, font_list.load_samples()[face.script])


def test_missing_scripts_are_named_with_the_command_that_downloads_them():
    catalogue = FontCatalogue((FACE,))
    assert catalogue.scripts() == ("latin",)
    sentence = fonts.describe_missing(catalogue)
    assert f"{len(fonts.SCRIPTS) - 1} of {len(fonts.SCRIPTS)} scripts" in sentence
    assert all(script in sentence for script in fonts.SCRIPTS[1:])
    assert "`make fonts`" in sentence
    everything = FontCatalogue(tuple(dataclasses.replace(FACE, script=script) for script in fonts.SCRIPTS))
    assert fonts.describe_missing(everything) == ""


def test_without_raqm_scripts_that_need_shaping_are_missing_and_the_log_says_why(cache):
    code = NO_RAQM + "from trainer.samples import fonts; print(fonts.load_catalogue().scripts())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert re.search("no Raqm .*libfribidi0.*arabic, hebrew", done.stdout)
    scripts = done.stdout.splitlines()[-1]
    assert "'latin'" in scripts
    assert "'arabic'" not in scripts


BUNDLED_DIGESTS = """
import hashlib
from trainer.generators import signatures as generator
from trainer.samples import fonts
files = [generator.generate_image(4, writer, kind, 0)[0] for writer in (1, 2) for kind in generator.SampleKind]
print(fonts.load_catalogue().digest(), *[hashlib.sha256(data).hexdigest() for data in files])
"""
NO_RAQM = "from PIL import features; features.check = lambda name: False\n"


@pytest.mark.slow
def test_bundled_fonts_give_the_same_images_whatever_the_machine_has(cache, tmp_path, monkeypatch):
    """Neither downloaded fonts nor a library of the system change them."""
    monkeypatch.setenv("COUNTERSIGN_FONTS", "bundled")
    package = next(package for package in font_list.load_packages() if package.name == "caveat")
    (tmp_path / "with fonts" / "fonts" / package.folder_name).mkdir(parents=True)
    for name in package.list_file_names():
        (tmp_path / "with fonts" / "fonts" / package.folder_name / name).write_bytes(DEJAVU.read_bytes())
    printed = []
    for root, code in ((cache.parent, BUNDLED_DIGESTS), (tmp_path / "with fonts", NO_RAQM + BUNDLED_DIGESTS)):
        monkeypatch.setenv("COUNTERSIGN_CACHE", str(root))
        command = [sys.executable, "-c", code]
        printed.append(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    assert printed[0] == printed[1]
    assert len(set(printed[0].split())) == 1 + 2 * 4


def test_bundled_fonts_are_those_of_matplotlib_for_scripts_that_need_no_shaping(monkeypatch):
    monkeypatch.setenv("COUNTERSIGN_FONTS", "bundled")
    catalogue = fonts.load_catalogue()
    assert {face.path.parent for face in catalogue.faces} == {TTF}
    assert {"latin", "greek", "cyrillic"} <= set(catalogue.scripts()) <= fonts.UNSHAPED
    assert not any(face.is_shaped for face in catalogue.faces)
    sentence = fonts.describe_missing(catalogue)
    assert "COUNTERSIGN_FONTS=bundled leaves out" in sentence
    assert "arabic" in sentence
    assert "make fonts" not in sentence, "it would change nothing"


def test_all_fonts_are_used_where_the_setting_is_empty_or_absent(cache, monkeypatch):
    catalogue = fonts.load_catalogue()
    monkeypatch.setenv("COUNTERSIGN_FONTS", "")
    assert fonts.load_catalogue() is catalogue
    monkeypatch.delenv("COUNTERSIGN_FONTS")
    assert fonts.load_catalogue() is catalogue


def test_another_value_of_the_setting_is_an_error_of_the_command_that_names_the_values(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COUNTERSIGN_FONTS", "system")
    with pytest.raises(FontError, match="COUNTERSIGN_FONTS is 'system'; it has to be 'all' or 'bundled'"):
        fonts.load_catalogue()
    assert samples_command.main([str(tmp_path / "out"), "--writers", "1"]) == 1
    assert "COUNTERSIGN_FONTS is 'system'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_rendered_text_is_cropped_to_its_ink_with_a_margin():
    ink = fonts.render_text(FACE, "Text", 48)
    assert (ink.dtype, ink.max()) == (np.uint8, 255)
    inner = ink[fonts.MARGIN : -fonts.MARGIN, fonts.MARGIN : -fonts.MARGIN]
    assert inner.sum() == ink.sum(), "no ink in the margin"
    assert all(edge.any() for edge in (inner[0], inner[-1], inner[:, 0], inner[:, -1])), "ink at every edge"
    assert np.array_equal(ink, fonts.render_text(FACE, "Text", 49)), "sizes are rounded"
    assert fonts.render_text(FACE, "Text", 96).shape[0] > 1.8 * len(ink)


@pytest.mark.parametrize("text", ["字", "A字", "\U0010fffd", " ", ""])
def test_a_missing_glyph_raises_instead_of_drawing_a_box(text):
    with pytest.raises(MissingGlyph):
        fonts.render_text(FACE, text, 32)


def test_a_face_renders_marks_spaces_and_joiners_but_no_foreign_letter():
    assert fonts.can_render(FACE, "e\u0301 naïve\u200d\u00a0Ω")
    assert not fonts.can_render(FACE, "語")
    assert not fonts.can_render(dataclasses.replace(FACE, path=ROMAN), "α")


def test_companions_draw_what_the_first_file_lacks_in_the_direction_of_the_script():
    face = FontFace("Roman", "latin", FontStyle.PRINT, ROMAN, (DEJAVU,))
    assert fonts.can_render(face, "Aα")
    alpha_last, alpha_first = (fonts.render_text(face, text, 48) for text in ("Aα", "αA"))
    assert not np.array_equal(alpha_last, alpha_first)
    reversed_face = dataclasses.replace(face, script="hebrew")
    assert np.array_equal(fonts.render_text(reversed_face, "Aα", 48), alpha_first)
    separate = sum(fonts.render_text(face, letter, 48).shape[1] - 2 * fonts.MARGIN for letter in "Aα")
    assert separate <= alpha_last.shape[1] < separate + 16


@pytest.mark.skipif(not features.check("raqm"), reason="this Pillow cannot shape text")
def test_letters_are_shaped_as_their_script_requires():
    face = dataclasses.replace(FACE, script="arabic")
    joined, isolated = (fonts.render_text(face, text, 48) for text in ("ببب", "ب\u200cب\u200cب"))
    assert joined.shape[1] < isolated.shape[1], "letters that are joined are narrower than final forms"


def test_threads_render_the_same_as_one():
    texts = ["signature", "12.50", "Ελλάδα", "договор"] * 8
    alone = [fonts.render_text(FACE, text, 40) for text in texts]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda text: fonts.render_text(FACE, text, 40), texts))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))
