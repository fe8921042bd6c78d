"""``python -m trainer.prepare``: read the data, audit it, split it and write records, without training.

The first stages of ``trainer.task``, with the same flags. Next: ``pipeline/preparation.py``.
"""

import datetime
import sys

from trainer.console import quiet
from trainer.console.errors import UserError
from trainer.console.messages import LOG
from trainer.pipeline.preparation import prepare_data
from trainer.pipeline.problem_defaults import resolve_settings
from trainer.pipeline.run_dir import open_run_dir
from trainer.settings import plugins
from trainer.settings.config import parse_config

HELP = """\
Read every image, audit, split and write the records of a run, without training. Takes the flags of trainer.task; the
same flags let trainer.task continue the run. After an interruption, the same command continues.

  python -m trainer.prepare --train-dir scans/ --job-dir runs/mine
  python -m trainer.task    --train-dir scans/ --job-dir runs/mine
"""


def main(arguments: list[str] | None = None) -> int:
    """Prepare the records of a run; returns the exit status. ``trainer.task`` with the same flags continues the run."""
    config = parse_config(arguments, prog="python -m trainer.prepare", description=HELP)
    quiet.import_tensorflow()
    problem = plugins.load("problems", config.model.problem)
    try:
        config = resolve_settings(config, problem)
        with open_run_dir(config, datetime.datetime.now()) as run_dir, run_dir.log_to_file(config.output.verbose):
            prepared = prepare_data(config, problem, run_dir)
            counts = ", ".join(f"{prepared.records.count_images(split)} {split}" for split in prepared.records.counts)
            LOG.info(f"records: {prepared.records.folder} ({counts}, {len(prepared.records.refused)} left out)")
    except (UserError, OSError) as error:
        print(f"python -m trainer.prepare: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; the same command continues from here")
        return 130
    return 0


def run() -> int:
    """Run ``python -m trainer.prepare``, or ``countersign-prepare``; return its exit status."""
    quiet.escape_undecodable_output()
    return main()


if __name__ == "__main__":
    raise SystemExit(run())
