"""``python -m trainer.prepare``: look at the data, audit it, split it and write records, without training.

The first half of ``trainer.task``; takes the same flags. Next: ``pipeline/preparation.py``.
"""

import datetime
import sys

from trainer.console import quiet
from trainer.console.errors import UserError
from trainer.console.messages import LOG
from trainer.pipeline import run_dir
from trainer.pipeline.preparation import prepare
from trainer.pipeline.problem_defaults import resolve_settings
from trainer.settings import config, plugins

HELP = """\
Look at every image, audit, split and write the records of a run, without training. Takes the flags of trainer.task,
which goes on from here when it is given the same; interrupted, the same command goes on where it was.

  python -m trainer.prepare --train-dir scans/ --job-dir runs/mine
  python -m trainer.task    --train-dir scans/ --job-dir runs/mine
"""


def main(arguments: list[str] | None = None) -> int:
    """Prepare a run's records without training; ``trainer.task`` with the same flags goes on from there."""
    wanted = config.from_command_line(arguments, prog="python -m trainer.prepare", description=HELP)
    quiet.import_tensorflow()
    problem = plugins.load("problems", wanted.model.problem)
    wanted = resolve_settings(wanted, problem)
    try:
        with run_dir.open_run(wanted, datetime.datetime.now()) as place, place.logged(wanted.output.verbose):
            prepared = prepare(wanted, problem, place)
            held = ", ".join(f"{prepared.records.images(part)} {part}" for part in prepared.records.counts)
            LOG.info(f"records: {prepared.records.folder} ({held}, {len(prepared.records.refused)} left out)")
    except (UserError, OSError) as error:
        print(f"python -m trainer.prepare: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here")
        return 130
    return 0


if __name__ == "__main__":
    quiet.print_any_name()
    raise SystemExit(main())
