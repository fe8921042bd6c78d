"""``python -m trainer.samples.font_download`` (``make fonts``): download the fonts of ``fonts.json`` into the cache.

No font is part of this repository. Each entry of the list pins one package ``@fontsource/NAME`` by version and
SHA-512; all are under the OFL-1.1 or the Apache-2.0. The ``npm`` client downloads it from the registry it is configured
for. A tarball holds all weights and two formats; only the files that the list needs, and the licence, are kept. Next:
``fonts.py``, which draws text with them.
"""

import base64
import concurrent.futures
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from trainer.console.errors import UserError
from trainer.console.progress import Progress
from trainer.samples import fonts
from trainer.samples.font_list import (
    LIST_PATH,
    FontError,
    FontPackage,
    check_license,
    get_font_dir,
    is_complete,
    load_packages,
)
from trainer.settings.flags import Parser
from trainer.storage import lock

GROUP = 8  # packages that one process of the client downloads; starting it takes half a second
DOWNLOADS = 4  # groups at the same time
ATTEMPTS = 2  # of the client, for one group
TIMEOUT = 900  # seconds for one group; the largest package has 40 MB
MEMBER_BYTES = 32 * 2**20  # a larger file in a tarball is no subset of a font


def download_fonts(
    packages: tuple[FontPackage, ...], folder: Path, report: Callable[[int], None] = lambda done: None
) -> None:
    """Download the packages that are not in the folder yet, several at a time.

    ``report`` is called with the number of packages that are done. An interrupted download leaves no package that looks
    complete; the same call continues. Raises ``FontError`` for the first package that fails.
    """
    missing = [package for package in packages if not is_complete(package, folder)]
    done = len(packages) - len(missing)
    report(done)
    if not missing:
        return
    client = _find_client()
    groups = [missing[start : start + GROUP] for start in range(0, len(missing), GROUP)]
    with _exclusive(folder), concurrent.futures.ThreadPoolExecutor(DOWNLOADS) as pool:
        futures = [pool.submit(_download, client, group, folder) for group in groups]
        try:
            for future in concurrent.futures.as_completed(futures):
                done += future.result()
                report(done)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def main(arguments: list[str] | None = None) -> int:
    """Download the fonts of the list, and print a table of them; returns the exit status."""
    Parser(prog="python -m trainer.samples.font_download", description=__doc__.partition("\n")[0]).parse_args(arguments)
    try:
        packages, folder = load_packages(), get_font_dir()
        with Progress("fetching", len(packages), unit="fonts") as progress:
            download_fonts(packages, folder, progress.update)
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(format_table(packages, folder))
    if text := fonts.describe_missing():
        print(text)
    return 0


def format_table(packages: tuple[FontPackage, ...], folder: Path) -> str:
    """Format family, version, licence and bytes of the downloaded packages, and their sum."""
    rows = []
    for package in packages:
        size = sum((folder / package.folder_name / name).stat().st_size for name in package.list_file_names())
        rows.append((package.family, package.version, package.license, size))
    total = sum(row[3] for row in rows)
    lines = [f"{family:<28} {version:<8} {license:<10} {size:>10,}" for family, version, license, size in rows]
    return "\n".join([*lines, f"{f'{len(rows)} families in {folder}':<48} {total:>10,} bytes"])


def _find_client() -> str:
    """Return the path of ``npm``, which on Windows is a script. Raises ``FontError``."""
    client = shutil.which("npm")
    if client is None:
        raise FontError(
            "npm is not installed, which downloads the fonts; it comes with Node.js: on Debian and Ubuntu `apt-get "
            "install npm`, on macOS `brew install node`, on Windows `winget install OpenJS.NodeJS`"
        )
    return client


def _download(client: str, packages: list[FontPackage], folder: Path) -> int:
    """Download, verify and extract packages; the last step gives each folder its final name. Returns their number."""
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder, ignore_cleanup_errors=True) as partial_name:
        partial = Path(partial_name)
        _pack(client, packages, partial)
        for package in packages:
            tarball = partial / package.tarball_name
            _verify(package, tarball)
            contents = partial / package.folder_name
            contents.mkdir()
            _extract(package, tarball, contents)
            target = folder / package.folder_name
            shutil.rmtree(target, ignore_errors=True)  # of an older list, which needed fewer files
            contents.replace(target)
    return len(packages)


def _pack(client: str, packages: list[FontPackage], folder: Path) -> None:
    """Download tarballs with ``npm pack``, whose own cache would otherwise keep a second copy for ever."""
    names = [package.requirement for package in packages]
    options = ["--ignore-scripts", "--pack-destination", ".", "--cache", "npm-cache", "--json"]
    reason = ""
    for _ in range(ATTEMPTS):
        try:
            done = subprocess.run(  # noqa: S603  # the names are from our list
                [client, "pack", *names, *options], cwd=folder, capture_output=True, encoding="utf-8", timeout=TIMEOUT
            )
        except (subprocess.TimeoutExpired, OSError) as error:
            reason = str(error)
            continue
        if done.returncode == 0 and all((folder / package.tarball_name).is_file() for package in packages):
            return
        errors = [line for line in done.stderr.splitlines() if "npm warn" not in line]
        reason = " ".join(errors)[:500] or f"npm ended with status {done.returncode} and without all files"
    raise FontError(f"npm cannot download {' '.join(names)}: {reason}")


def _verify(package: FontPackage, tarball: Path) -> None:
    with tarball.open("rb") as file:
        digest = hashlib.sha512()
        for block in iter(lambda: file.read(2**20), b""):
            digest.update(block)
    integrity = "sha512-" + base64.b64encode(digest.digest()).decode()
    if integrity != package.integrity:
        raise FontError(
            f"the tarball of {package.requirement} has the checksum {integrity}, "
            f"not {package.integrity} as in {LIST_PATH.name}; nothing of it was kept"
        )


def _extract(package: FontPackage, tarball: Path, folder: Path) -> None:
    """Write the needed files of a tarball, each found by its full name, into a folder."""
    with tarfile.open(tarball, "r:gz") as archive:
        members = {member.name: member for member in archive if member.isfile() and member.size <= MEMBER_BYTES}

        def read(name: str) -> bytes:
            stream = archive.extractfile(members[name]) if name in members else None
            if stream is None:
                raise FontError(f"the tarball of {package.requirement} has no file {name}")
            return stream.read()

        check_license(package, json.loads(read("package/package.json")).get("license"))
        (folder / "LICENSE").write_bytes(read("package/LICENSE"))
        for name in package.list_file_names():
            (folder / name).write_bytes(read(f"package/files/{name}"))


@contextlib.contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """Lock the folder for one process, and delete what a killed process left."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR, 0o644)
    try:
        lock.acquire(descriptor)
        for partial in folder.glob(".partial-*"):
            shutil.rmtree(partial, ignore_errors=True)
        yield
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    raise SystemExit(main())
