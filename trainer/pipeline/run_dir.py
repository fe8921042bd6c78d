"""A run's folder: where it is, what it has reached, and what may be continued.

Knows paths and completeness, not training. Next: ``task.py``, which fills it.
"""

import contextlib
import dataclasses
import datetime
import os
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from trainer import storage
from trainer.artifact import manifest
from trainer.console.errors import UserError
from trainer.console.messages import kept_in
from trainer.console.progress import fetching
from trainer.settings import config
from trainer.settings.config import Config
from trainer.storage import Place, lock

RUNS = Path(os.environ.get("COUNTERSIGN_RUNS", "runs"))


class OtherRun(UserError):
    """The job dir belongs to a run with other settings; the message names them."""


@dataclasses.dataclass(frozen=True)
class Run:
    """The places of one run, all local; ``mirrors`` are those of them that have a copy on Cloud Storage.

    A context: inside it no other process of this machine works in the folder.
    """

    folder: Path
    model: Path
    checkpoints: Path
    tensorboard: Path | None = None
    mirrors: tuple[Place, ...] = ()

    def __enter__(self):
        """Raises ``OtherRun`` when somebody else is in it."""
        _claim(self.folder)
        if self.folder in _INSIDE:
            raise _occupied(self.folder)
        _INSIDE.add(self.folder)
        return self

    def __exit__(self, *_):
        _INSIDE.remove(self.folder)
        os.close(_HELD.pop(self.folder))
        if self.folder.is_dir() and {entry.name for entry in self.folder.iterdir()} <= {"lock", self.messages.name}:
            shutil.rmtree(self.folder)  # nothing came of it

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    @property
    def records(self) -> Path:
        return self.folder / "records"

    @property
    def survey(self) -> Path:
        return self.folder / "survey"

    @property
    def audit(self) -> Path:
        return self.folder / "audit.json"

    @property
    def report(self) -> Path:
        return self.folder / "report"

    @property
    def log(self) -> Path:
        return self.folder / "training.csv"

    @property
    def messages(self) -> Path:
        return self.folder / "log.txt"

    @property
    def settings(self) -> Path:
        return self.folder / "config.toml"

    def record(self, wanted: Config) -> None:
        """Note the settings, once they are known to work: a typo must not claim a folder."""
        partial = self.settings.with_suffix(".partial")
        config.write(wanted, partial)
        partial.replace(self.settings)

    def save(self) -> None:
        """Bring the copies on Cloud Storage up to date. Raises ``StorageError``."""
        for mirror in self.mirrors:
            mirror.push(manifest.FILE, "checkpoint")

    @contextlib.contextmanager
    def logged(self, verbose: bool, primary: bool = True) -> Iterator[None]:
        """Keep the messages in ``log.txt``, and bring the copies up to date with the last of them, also after an error.

        Of several workers only the primary keeps them. Raises ``StorageError``.
        """
        try:
            with kept_in(self.messages if primary else None, verbose):
                yield
        except OSError:  # Cloud Storage itself, or the disk
            raise
        except BaseException:
            if self.settings.is_file():  # else nothing came of it
                with contextlib.suppress(OSError):
                    self.save()
            raise
        self.save()

    def told(self, path: Path) -> str:
        """A path as people know it: on Cloud Storage where it has a copy there."""
        for mirror in reversed(self.mirrors):
            if mirror.remote and path.is_relative_to(mirror.folder):
                return "/".join([mirror.remote, *path.relative_to(mirror.folder).parts])
        return str(path)

    def is_complete(self, wanted: Config) -> bool:
        """Whether this run's artefact is there and whole; another run may have left one at the same --model-dir."""
        try:
            described = manifest.read(self.model)
            manifest.verify(described, self.model)
        except manifest.BadArtifact:
            return False
        return described.training.get("run") == self.name and described.training.get("settings") == wanted.learning()


_HELD: dict[Path, int] = {}  # open, locked files of the folders that this process has claimed
_INSIDE: set[Path] = set()  # those that it works in


def _claim(folder: Path) -> None:
    """Keep all other processes out of a folder. Raises ``OtherRun`` when one is in it."""
    if folder in _HELD:
        return
    folder.mkdir(parents=True, exist_ok=True)
    held = _hold(folder)
    if held is None:
        raise _occupied(folder)
    _HELD[folder] = held


def _occupied(folder: Path) -> OtherRun:
    return OtherRun(f"another process is working in {str(folder)!r}; wait for it, or choose another --job-dir")


def _hold(folder: Path) -> int | None:
    """An open, locked file descriptor, or ``None`` when somebody else has it; freed by the system when we die."""
    descriptor = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o644)
    if lock.hold(descriptor):
        return descriptor
    os.close(descriptor)
    return None


def _is_held(folder: Path) -> bool:
    held = _hold(folder)
    if held is not None:
        os.close(held)
    return held is None


def open_run(wanted: Config, now: datetime.datetime) -> Run:
    """The run to work in: the given job dir, an unfinished run of the same settings, or a new one.

    Raises ``OtherRun`` when the given job dir has been used with other settings.
    """
    if wanted.output.job_dir:
        job = Place.of(wanted.output.job_dir, _stays_here)
        _claim(job.folder)  # before anything there is replaced by what an earlier run has left
        try:
            job.pull(fetching)
            run = _places(job, wanted)
            if run.settings.is_file():
                _check_same(run, wanted)
        except BaseException:
            os.close(_HELD.pop(job.folder))
            raise
    else:
        run = _unfinished(wanted) or _places(Place(RUNS / f"{now:%Y%m%d-%H%M%S}-{wanted.model.problem}"), wanted)
    return run


def newest_model(runs: Path = RUNS) -> Path:
    """The artefact of the last run that finished. Raises ``FileNotFoundError``."""
    found = sorted(runs.glob(f"*/model/{manifest.FILE}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise FileNotFoundError(f"no finished run below {str(runs)!r}; train one with: python -m trainer.task")
    return found[-1].parent


def _places(job: Place, wanted: Config) -> Run:
    folder, output = job.folder, wanted.output
    checkpoints = _pulled(output.checkpoint_dir) if output.checkpoint_dir else Place(folder / "checkpoints")
    tensorboard = Place.of(output.tensorboard_dir) if output.tensorboard_dir else None
    if output.model_dir and output.model_dir.startswith(storage.REMOTE):
        # Also where the bucket is mounted: a mounted folder cannot be renamed in one step, an upload can end with one.
        model = Place(folder / "model", output.model_dir.rstrip("/"))
    else:
        model = Place(storage.local(output.model_dir).resolve() if output.model_dir else folder / "model")
        _check_replaceable(model.folder)
    places = [place for place in (job, checkpoints, tensorboard, model) if place and place.remote]
    return Run(folder, model.folder, checkpoints.folder, tensorboard.folder if tensorboard else None, tuple(places))


def _pulled(path: str) -> Place:
    """A place with what an earlier run has left there."""
    place = Place.of(path, _stays_here)
    place.pull(fetching)
    return place


def _stays_here(name: PurePosixPath) -> bool:
    """What another machine makes again, or must not see half done."""
    return name.parts[0] in ("samples", "survey", "lock") or any(p.endswith((".partial", ".old")) for p in name.parts)


def _check_replaceable(model: Path) -> None:
    """An artefact replaces what lies at its place: that may only be an older artefact, or nothing."""
    if model.is_dir() and any(model.iterdir()) and not (model / manifest.FILE).is_file():
        raise OtherRun(f"--model-dir {str(model)!r} holds something that is no artefact; choose an empty folder")
    if model.exists() and not model.is_dir():
        raise OtherRun(f"--model-dir {str(model)!r} is a file; choose a folder")


def _unfinished(wanted: Config) -> Run | None:
    """The newest run below ``runs/`` with these very settings and no artefact yet."""
    for settings in sorted(RUNS.glob(f"*-{wanted.model.problem}/config.toml"), reverse=True):
        run = _places(Place(settings.parent), wanted)
        try:
            same = config.read(settings) == wanted.recorded()
        except (ValueError, OSError):
            continue  # written by another version, or damaged: not ours to continue
        if same and not run.is_complete(wanted) and not _is_held(run.folder):
            return run
    return None


def _check_same(run: Run, wanted: Config) -> None:
    before = config.read(run.settings)
    if before.learns_the_same_as(wanted):
        return
    was, now = dataclasses.asdict(before), dataclasses.asdict(wanted)
    changed = [
        f"{name} was {was[section][name]!r}, now {now[section][name]!r}"
        for section in config.SECTIONS
        if section != "output"
        for name in was[section]
        if was[section][name] != now[section][name]
    ]
    raise OtherRun(
        f"{str(run.folder)!r} holds a run with other settings ({'; '.join(changed)}); choose another --job-dir"
    )


if __name__ == "__main__":  # prints the artefact of the last finished run, for `make serve`
    try:
        print(newest_model())
    except FileNotFoundError as error:
        raise SystemExit(str(error)) from None
