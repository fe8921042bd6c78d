"""Zips and paths made local: no member is written outside its folder, and no damaged zip is read as complete."""

import io
import random
import stat
import zipfile

import pytest

from trainer import storage
from trainer.console.errors import UserError
from trainer.data import sources
from trainer.data.sources import UnsafeArchive


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("COUNTERSIGN_CACHE", str(tmp_path / "cache"))


def write_zip(tmp_path, members: dict, name="scans.zip", method=zipfile.ZIP_DEFLATED):
    path = tmp_path / name
    with zipfile.ZipFile(path, "w", method) as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return path


def read_unpacked(path):
    """The bytes of each unpacked file, by name."""
    folder = sources.fetch_source(str(path)).root
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def is_cache_empty(tmp_path):
    return not (tmp_path / "cache").exists() or not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


def test_images_and_csv_files_are_unpacked_once(tmp_path):
    path = write_zip(tmp_path, {"a/1.png": b"1", "manifest.csv": b"path", "run.exe": b"MZ", "notes.txt": b"x"})
    assert set(read_unpacked(path)) == {"a/1.png", "manifest.csv"}
    before = {p: p.stat().st_ino for p in sources.fetch_source(str(path)).root.rglob("*.*")}
    assert {p: p.stat().st_ino for p in sources.fetch_source(str(path)).root.rglob("*.*")} == before
    write_zip(tmp_path, {"a/1.png": b"another"})
    assert read_unpacked(path) == {"a/1.png": b"another"}, "a changed zip is unpacked anew"


@pytest.mark.parametrize(
    "name", ["../evil.png", "/etc/evil.png", "a/../../evil.png", "..\\\\evil.png", "C:\\\\evil.png"]
)
def test_a_zip_with_a_path_outside_its_folder_is_refused(tmp_path, name):
    path = write_zip(tmp_path, {"good.png": b"1", name: b"2"})
    with pytest.raises(UnsafeArchive, match="leaves"):
        sources.fetch_source(str(path))
    assert is_cache_empty(tmp_path)


def test_a_zip_with_a_link_is_refused(tmp_path):
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UnsafeArchive, match="link"):
        sources.fetch_source(str(tmp_path / "x.zip"))


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "ALWAYS_UNPACKED_BYTES", 1000)
    path = write_zip(tmp_path, {"a.png": bytes(5_000_000)})
    with pytest.raises(UnsafeArchive, match="5,000,000 bytes"):
        sources.fetch_source(str(path))
    assert is_cache_empty(tmp_path)


def test_a_zip_with_two_members_of_one_name_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.png", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.png", b"2")
    with pytest.raises(UnsafeArchive, match="twice"):
        sources.fetch_source(str(tmp_path / "x.zip"))


def test_a_damaged_zip_gives_its_true_content_or_an_error_for_users(tmp_path):
    members = {f"d{n}/{n}.png": bytes(range(256)) * 4 for n in range(4)}
    rng = random.Random(3)
    for number in range(300):
        method = (zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_STORED)[number % 4]
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        damaged = bytearray(buffer.getvalue())
        for _ in range(rng.randint(1, 6)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path = tmp_path / f"{number}.zip"
        path.write_bytes(bytes(damaged[: rng.choice([len(damaged), rng.randrange(len(damaged))])]))
        try:
            content = read_unpacked(path)
        except (UserError, OSError):
            continue
        assert all(data == members.get(name, data) for name, data in content.items())


@pytest.mark.parametrize("argument", ["", "label=", "=x"])
def test_an_argument_without_a_path_or_label_is_an_error(argument):
    with pytest.raises((UserError, OSError)):
        sources.fetch_source(argument)


def test_a_label_may_be_given_with_a_zip(tmp_path):
    path = write_zip(tmp_path, {"1.png": b"1"})
    source = sources.fetch_source(f"stamp={path}")
    assert (source.label, source.name) == ("stamp", "scans")
    assert source.root.is_relative_to(storage.get_cache_dir())
