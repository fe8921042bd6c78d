"""``python -m trainer.prepare``: read the data, audit it, split it and write records, without training.

The first stages of ``trainer.task``, with the same flags. Next: ``pipeline/preparation.py``; for many machines
``trainer/beam/execution.py``.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer.pipeline.execution import Execution

PROG = "python -m trainer.prepare"
HELP = """\
Read every image, audit, split and write the records of a run, without training. Takes the flags of trainer.task; the
same flags let trainer.task continue the run. After an interruption, the same command continues.

  python -m trainer.prepare --train-dir scans/ --job-dir runs/mine
  python -m trainer.task    --train-dir scans/ --job-dir runs/mine

--runner NAME prepares with Apache Beam (direct, portable, flink, spark or dataflow) and writes the same records;
options of Beam follow after --. Without it, this process does all.

  python -m trainer.prepare --train-dir scans/ --job-dir runs/mine --runner direct -- --direct_num_workers=4
"""
LOCAL, DATAFLOW = "local", "dataflow"
RUNNERS = (LOCAL, "direct", "portable", "flink", "spark", DATAFLOW)


def main(arguments: list[str] | None = None) -> int:
    """Prepare the records of a run; returns the exit status. ``trainer.task`` with the same flags continues the run."""
    try:
        return _prepare(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        print("\ninterrupted; the same command continues from here")
        return 130


def _prepare(arguments: list[str]) -> int:
    from trainer import storage
    from trainer.console import quiet
    from trainer.console.errors import UserError
    from trainer.console.messages import LOG
    from trainer.pipeline.preparation import prepare_data
    from trainer.pipeline.problem_defaults import resolve_settings
    from trainer.pipeline.run_dir import open_run_dir
    from trainer.settings import plugins
    from trainer.settings.config import parse_config

    runner, beam_arguments, arguments = _split_runner(arguments)
    config = parse_config(arguments, prog=PROG, description=HELP)
    quiet.import_tensorflow()
    problem = plugins.load("problems", config.model.problem)
    # A machine of Vertex AI mounts all buckets, the workers of Dataflow mount none.
    ignore_mounts = storage.ignore_mounts() if runner == DATAFLOW else contextlib.nullcontext()
    try:
        config = resolve_settings(config, problem)
        with (
            ignore_mounts,
            open_run_dir(config, datetime.datetime.now()) as run_dir,
            run_dir.log_to_file(config.output.verbose),
        ):
            execution = _make_execution(runner, beam_arguments, config.output.job_dir)
            prepared = prepare_data(config, problem, run_dir, execution)
            counts = ", ".join(f"{prepared.records.count_images(split)} {split}" for split in prepared.records.counts)
            LOG.info(f"records: {prepared.records.folder} ({counts}, {len(prepared.records.refused)} left out)")
    except (UserError, OSError) as error:
        print(f"python -m trainer.prepare: {error}", file=sys.stderr)
        return 1
    return 0


def _split_runner(arguments: list[str]) -> tuple[str, list[str], list[str]]:
    """Return the runner, the options of Beam after ``--``, and the other arguments."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    flags = argparse.ArgumentParser(prog=PROG, add_help=False, allow_abbrev=False)
    flags.add_argument("--runner", choices=RUNNERS, default=LOCAL)
    options, rest = flags.parse_known_args(arguments[:end])
    if options.runner == LOCAL and arguments[end + 1 :]:
        flags.error(f"options of Beam ({' '.join(arguments[end + 1 :])}) need a --runner other than {LOCAL}")
    return options.runner, arguments[end + 1 :], rest


def _make_execution(runner: str, beam_arguments: list[str], job_dir: str | None) -> Execution:
    """Return what runs the steps that read every image. Raises ``UserError`` without Beam."""
    from trainer import storage
    from trainer.console.errors import UserError
    from trainer.pipeline.preparation import LocalExecution

    if runner == LOCAL:
        return LocalExecution()
    try:
        from trainer.beam.execution import BeamExecution
        from trainer.beam.options import make_options
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("apache_beam"):
            raise
        raise UserError(f"--runner {runner} needs Apache Beam: pip install 'countersign[beam]'") from None
    remote_job_dir = job_dir if job_dir and storage.is_remote(job_dir) else ""
    return BeamExecution(make_options(runner, beam_arguments, job_dir or ""), remote_job_dir)


def _interrupt(*_: object) -> None:
    """Do at SIGTERM what Ctrl-C does: cancel the job of a cluster, and end. A second SIGTERM changes nothing."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def run() -> int:
    """Run ``python -m trainer.prepare``, or ``countersign-prepare``; return its exit status."""
    signal.signal(signal.SIGTERM, _interrupt)  # before any import of the trainer: those take seconds
    try:
        from trainer.console import quiet

        quiet.escape_undecodable_output()
    except KeyboardInterrupt:
        return 130
    return main()


if __name__ == "__main__":
    raise SystemExit(run())
