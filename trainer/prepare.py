"""``python -m trainer.prepare``: read the data, audit it, split it and write records, without training.

The first stages of ``trainer.task``, with the same flags. Next: ``pipeline/preparation.py``; for many machines
``trainer/beam/execution.py``.
"""

import argparse
import datetime
import sys

from trainer import storage
from trainer.console import quiet
from trainer.console.errors import UserError
from trainer.console.messages import LOG
from trainer.pipeline.execution import Execution
from trainer.pipeline.preparation import LocalExecution, prepare_data
from trainer.pipeline.problem_defaults import resolve_settings
from trainer.pipeline.run_dir import open_run_dir
from trainer.settings import plugins
from trainer.settings.config import parse_config

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
LOCAL = "local"
RUNNERS = (LOCAL, "direct", "portable", "flink", "spark", "dataflow")


def main(arguments: list[str] | None = None) -> int:
    """Prepare the records of a run; returns the exit status. ``trainer.task`` with the same flags continues the run."""
    runner, beam_arguments, arguments = _split_runner(sys.argv[1:] if arguments is None else arguments)
    config = parse_config(arguments, prog=PROG, description=HELP)
    quiet.import_tensorflow()
    problem = plugins.load("problems", config.model.problem)
    try:
        config = resolve_settings(config, problem)
        with open_run_dir(config, datetime.datetime.now()) as run_dir, run_dir.log_to_file(config.output.verbose):
            prepared = prepare_data(
                config, problem, run_dir, _make_execution(runner, beam_arguments, config.output.job_dir)
            )
            counts = ", ".join(f"{prepared.records.count_images(split)} {split}" for split in prepared.records.counts)
            LOG.info(f"records: {prepared.records.folder} ({counts}, {len(prepared.records.refused)} left out)")
    except (UserError, OSError) as error:
        print(f"python -m trainer.prepare: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; the same command continues from here")
        return 130
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


def run() -> int:
    """Run ``python -m trainer.prepare``, or ``countersign-prepare``; return its exit status."""
    quiet.escape_undecodable_output()
    return main()


if __name__ == "__main__":
    raise SystemExit(run())
