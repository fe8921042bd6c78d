"""The folder of a run: its paths, whether the run is complete, and whether it may be continued.

Independent of training. Next: ``train.py``, which fills the folder.
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
from trainer.console.messages import log_to_file
from trainer.console.progress import transfer_progress
from trainer.settings.config import Config, read_config, write_config
from trainer.storage import Workdir, lock

RUNS_DIR = Path(os.environ.get("COUNTERSIGN_RUNS", "runs"))


class JobDirConflict(UserError):
    """A folder of the run is in use, or holds something else; the message says what, and what to choose instead."""


@dataclasses.dataclass(frozen=True)
class RunDir:
    """The local folders of one run; ``mirrors`` are those of them that have a copy on Cloud Storage.

    As a context manager it keeps other processes of this machine out of the folder.
    """

    folder: Path
    artifact_dir: Path
    checkpoint_dir: Path
    tensorboard_dir: Path | None = None
    mirrors: tuple[Workdir, ...] = ()

    def __enter__(self) -> "RunDir":
        """Lock the folder. Raises ``JobDirConflict`` when another process has locked it."""
        _claim(self.folder)
        if self.folder in _ENTERED:
            raise _make_conflict(self.folder)
        _ENTERED.add(self.folder)
        return self

    def __exit__(self, *_: object) -> None:
        _ENTERED.remove(self.folder)
        os.close(_LOCKS.pop(self.folder))
        if self.folder.is_dir() and {entry.name for entry in self.folder.iterdir()} <= {"lock", self.log_file.name}:
            shutil.rmtree(self.folder)  # the run failed before it wrote anything

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    @property
    def records_dir(self) -> Path:
        return self.folder / "records"

    @property
    def image_index_dir(self) -> Path:
        return self.folder / "survey"

    @property
    def audit_file(self) -> Path:
        return self.folder / "audit.json"

    @property
    def report_dir(self) -> Path:
        return self.folder / "report"

    @property
    def history_file(self) -> Path:
        return self.folder / "training.csv"

    @property
    def log_file(self) -> Path:
        return self.folder / "log.txt"

    @property
    def config_file(self) -> Path:
        return self.folder / "config.toml"

    def write_config(self, config: Config) -> None:
        """Write the settings, after which the folder accepts no others; call it once they are known to be valid."""
        partial = self.config_file.with_suffix(".partial")
        write_config(config, partial)
        partial.replace(self.config_file)

    def upload(self) -> None:
        """Upload what has changed to the copies on Cloud Storage. Raises ``StorageError``."""
        for mirror in self.mirrors:
            mirror.push(manifest.FILE, "checkpoint")

    @contextlib.contextmanager
    def log_to_file(self, verbose: bool, primary: bool = True) -> Iterator[None]:
        """Log to ``log.txt``, and upload the run with its last message, also after an error.

        Of several workers only the primary writes the file. Raises ``StorageError``.
        """
        try:
            with log_to_file(self.log_file if primary else None, verbose):
                yield
        except OSError:  # of Cloud Storage or the disk: an upload would fail again
            raise
        except BaseException:
            if self.config_file.is_file():  # otherwise the run failed before it wrote anything
                with contextlib.suppress(OSError):
                    self.upload()
            raise
        self.upload()

    def display_path(self, path: Path) -> str:
        """Return a path for a message: the one on Cloud Storage where it has a copy there."""
        for mirror in reversed(self.mirrors):
            if mirror.remote and path.is_relative_to(mirror.folder):
                return "/".join([mirror.remote, *path.relative_to(mirror.folder).parts])
        return str(path)

    def is_complete(self, config: Config) -> bool:
        """Whether the artefact is complete and of this run: another run may have the same --model-dir."""
        try:
            artifact_manifest = manifest.read(self.artifact_dir)
            manifest.verify(artifact_manifest, self.artifact_dir)
        except manifest.BadArtifact:
            return False
        run, settings = (artifact_manifest.training.get(key) for key in ("run", "settings"))
        return run == self.name and isinstance(settings, dict) and not config.describe_changes(settings)


_LOCKS: dict[Path, int] = {}  # file descriptors of the locks that this process has, by folder
_ENTERED: set[Path] = set()  # folders whose context this process has entered


def _claim(folder: Path) -> None:
    """Lock a folder against other processes. Raises ``JobDirConflict`` when another one has locked it."""
    if folder in _LOCKS:
        return
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = _try_lock(folder)
    if descriptor is None:
        raise _make_conflict(folder)
    _LOCKS[folder] = descriptor


def _make_conflict(folder: Path) -> JobDirConflict:
    return JobDirConflict(f"another process is working in {str(folder)!r}; wait for it, or choose another --job-dir")


def _try_lock(folder: Path) -> int | None:
    """Return the file descriptor of the lock, which ends with the process; ``None`` when another process has it."""
    descriptor = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o644)
    if lock.try_acquire(descriptor):
        return descriptor
    os.close(descriptor)
    return None


def _is_locked(folder: Path) -> bool:
    descriptor = _try_lock(folder)
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is None


def open_run_dir(config: Config, now: datetime.datetime) -> RunDir:
    """Open the run to work in: the job dir of the settings, an unfinished run of the same settings, or a new one.

    Raises ``JobDirConflict`` when the job dir has been used with other settings.
    """
    if config.output.job_dir:
        job = Workdir.from_path(config.output.job_dir, _is_local)
        _claim(job.folder)  # before the download, which replaces files there
        try:
            job.pull(transfer_progress)
            run_dir = _make_run_dir(job, config)
            if run_dir.config_file.is_file():
                _check_same(run_dir, config)
        except BaseException:
            os.close(_LOCKS.pop(job.folder))
            raise
    else:
        run_dir = _find_unfinished(config) or _make_run_dir(
            Workdir(RUNS_DIR / f"{now:%Y%m%d-%H%M%S}-{config.model.problem}"), config
        )
    return run_dir


def find_newest_artifact(runs: Path = RUNS_DIR) -> Path:
    """Find the artefact of the run that finished last. Raises ``FileNotFoundError``."""
    manifests = sorted(runs.glob(f"*/model/{manifest.FILE}"), key=lambda path: path.stat().st_mtime)
    if not manifests:
        raise FileNotFoundError(f"no finished run below {str(runs)!r}; train one with: python -m trainer.task")
    return manifests[-1].parent


def _make_run_dir(job: Workdir, config: Config) -> RunDir:
    folder, output = job.folder, config.output
    checkpoints = _pull_workdir(output.checkpoint_dir) if output.checkpoint_dir else Workdir(folder / "checkpoints")
    tensorboard = Workdir.from_path(output.tensorboard_dir) if output.tensorboard_dir else None
    if output.model_dir and output.model_dir.startswith(storage.REMOTE):
        # Also where the bucket is mounted: a mounted folder cannot be renamed atomically, but an upload can be ordered.
        artifact = Workdir(folder / "model", output.model_dir.rstrip("/"))
    else:
        artifact = Workdir(storage.get_local_path(output.model_dir).resolve() if output.model_dir else folder / "model")
        _check_replaceable(artifact.folder)
    mirrors = [workdir for workdir in (job, checkpoints, tensorboard, artifact) if workdir and workdir.remote]
    tensorboard_dir = tensorboard.folder if tensorboard else None
    return RunDir(folder, artifact.folder, checkpoints.folder, tensorboard_dir, tuple(mirrors))


def _pull_workdir(path: str) -> Workdir:
    """Return a workdir with the files of an earlier run, downloaded from Cloud Storage."""
    workdir = Workdir.from_path(path, _is_local)
    workdir.pull(transfer_progress)
    return workdir


def _is_local(name: PurePosixPath) -> bool:
    """Whether a file is not transferred: another machine makes it again, it is incomplete, or Beam shares it."""
    return name.parts[0] in ("samples", "survey", "dataflow", "lock") or any(
        component.endswith((".partial", ".old")) for component in name.parts
    )


def _check_replaceable(artifact_dir: Path) -> None:
    """Check that only an older artefact can be replaced. Raises ``JobDirConflict``."""
    if artifact_dir.is_dir() and any(artifact_dir.iterdir()) and not (artifact_dir / manifest.FILE).is_file():
        raise JobDirConflict(
            f"--model-dir {str(artifact_dir)!r} holds files that are no artefact; choose an empty folder"
        )
    if artifact_dir.exists() and not artifact_dir.is_dir():
        raise JobDirConflict(f"--model-dir {str(artifact_dir)!r} is a file; choose a folder")


def _find_unfinished(config: Config) -> RunDir | None:
    """Find the newest run below ``runs/`` with these settings and no artefact yet."""
    for config_file in sorted(RUNS_DIR.glob(f"*-{config.model.problem}/config.toml"), reverse=True):
        run_dir = _make_run_dir(Workdir(config_file.parent), config)
        try:
            run_config = read_config(config_file)
        except (ValueError, OSError):
            continue  # of another version, or damaged
        is_same = not config.describe_changes(run_config.get_learning_settings())
        is_same = is_same and run_config.output == config.without_run_location().output
        if is_same and not run_dir.is_complete(config) and not _is_locked(run_dir.folder):
            return run_dir
    return None


def _check_same(run_dir: RunDir, config: Config) -> None:
    """Check that the run in a folder has these settings. Raises ``JobDirConflict``."""
    if changes := config.describe_changes(read_config(run_dir.config_file).get_learning_settings()):
        raise JobDirConflict(
            f"{str(run_dir.folder)!r} holds a run with other settings ({'; '.join(changes)}); choose another --job-dir"
        )


if __name__ == "__main__":  # for `make serve`
    try:
        print(find_newest_artifact())
    except FileNotFoundError as error:
        raise SystemExit(str(error)) from None
