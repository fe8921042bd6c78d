"""A run's folder: where it is, what it has reached, and what may be continued.

Knows paths and completeness, not training. Next: ``task.py``, which fills it.
"""

import dataclasses
import datetime
import fcntl
import os
from pathlib import Path

from trainer import config, storage
from trainer.artifact import manifest
from trainer.config import Config
from trainer.errors import UserError

RUNS = Path("runs")


class OtherRun(UserError):
    """The job dir belongs to a run with other settings; the message names them."""


@dataclasses.dataclass(frozen=True)
class Run:
    """The places of one run, all local; ``published`` is where a ``gs://`` model dir asks for a copy.

    A context: inside it no other process works in the folder.
    """

    folder: Path
    model: Path
    checkpoints: Path
    published: str | None = None

    def __enter__(self):
        """Raises ``OtherRun`` when another process is in it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        held = _hold(self.folder)
        if held is None:
            raise OtherRun(
                f"another process is working in {str(self.folder)!r}; wait for it, or choose another --job-dir"
            )
        _HELD[self.folder] = held
        return self

    def __exit__(self, *_):
        os.close(_HELD.pop(self.folder))

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    @property
    def records(self) -> Path:
        return self.folder / "records"

    @property
    def report(self) -> Path:
        return self.folder / "report"

    @property
    def log(self) -> Path:
        return self.folder / "training.csv"

    @property
    def settings(self) -> Path:
        return self.folder / "config.toml"

    def record(self, wanted: Config) -> None:
        """Note the settings, once they are known to work: a typo must not claim a folder."""
        partial = self.settings.with_suffix(".partial")
        config.write(wanted, partial)
        partial.replace(self.settings)

    def is_complete(self, wanted: Config) -> bool:
        """Whether this run's artefact is there and whole; another run may have left one at the same --model-dir."""
        try:
            described = manifest.read(self.model)
            manifest.verify(described, self.model)
        except manifest.BadArtifact:
            return False
        return described.training.get("run") == self.name and described.training.get("settings") == wanted.learning()


_HELD: dict[Path, int] = {}


def _hold(folder: Path) -> int | None:
    """An open, locked file descriptor, or ``None`` when somebody else has it; freed by the system when we die."""
    descriptor = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        pass  # a file system without locks, such as a mounted bucket: nobody can hold it
    return descriptor


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
        run = _places(storage.local(wanted.output.job_dir), wanted)
        if run.settings.is_file():
            _check_same(run, wanted)
    else:
        run = _unfinished(wanted) or _places(RUNS / f"{now:%Y%m%d-%H%M%S}-{wanted.model.problem}", wanted)
    return run


def newest_model(runs: Path = RUNS) -> Path:
    """The artefact of the last run that finished. Raises ``FileNotFoundError``."""
    found = sorted(runs.glob(f"*/model/{manifest.FILE}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise FileNotFoundError(f"no finished run below {str(runs)!r}; train one with: python -m trainer.task")
    return found[-1].parent


def _places(folder: Path, wanted: Config) -> Run:
    output = wanted.output
    checkpoints = storage.local(output.checkpoint_dir) if output.checkpoint_dir else folder / "checkpoints"
    if output.model_dir and output.model_dir.startswith(storage.REMOTE):
        # Also where the bucket is mounted: a mounted folder cannot be renamed in one step, an upload can end with one.
        return Run(folder, folder / "model", checkpoints, published=output.model_dir)
    model = storage.local(output.model_dir).resolve() if output.model_dir else folder / "model"
    _check_replaceable(model)
    return Run(folder, model, checkpoints)


def _check_replaceable(model: Path) -> None:
    """An artefact replaces what lies at its place: that may only be an older artefact, or nothing."""
    if model.is_dir() and any(model.iterdir()) and not (model / manifest.FILE).is_file():
        raise OtherRun(f"--model-dir {str(model)!r} holds something that is no artefact; choose an empty folder")
    if model.exists() and not model.is_dir():
        raise OtherRun(f"--model-dir {str(model)!r} is a file; choose a folder")


def _unfinished(wanted: Config) -> Run | None:
    """The newest run below ``runs/`` with these very settings and no artefact yet."""
    for settings in sorted(RUNS.glob(f"*-{wanted.model.problem}/config.toml"), reverse=True):
        run = _places(settings.parent, wanted)
        try:
            same = config.read(settings) == wanted
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


if __name__ == "__main__":  # ``python -m trainer.run`` prints the artefact of the last finished run, for `make serve`
    try:
        print(newest_model())
    except FileNotFoundError as error:
        raise SystemExit(str(error)) from None
