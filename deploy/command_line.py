"""The command line of ``python -m deploy``: one argparse sub-command for each command, with its flags and its help.

Next: ``__main__.py`` runs the command that was parsed.
"""

import argparse
import dataclasses
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deploy import jobs, spec
from deploy.waiting import POLL_INTERVAL
from trainer.settings.flags import OldFlag, Parser, between, get_flag_values, to_argparse_type
from trainer.settings.spelling import suggest_nearest

DESCRIPTION = """\
Put a model on Vertex AI: prepare data, train, register, deploy, promote, roll back and send it images.

  python -m deploy prepare  --env staging --dry-run   the job that prepares data on Dataflow, and its cost
  python -m deploy train    --env staging --dry-run   the job that would be submitted
  python -m deploy plan     --env staging --artifact gs://... --image ...@sha256:...
  python -m deploy apply    --env staging             the plan that was shown, artefact and image included
  python -m deploy smoke    --env staging             golden images through the endpoint
  python -m deploy gate     --env production          may the candidate be promoted?
  python -m deploy promote  --env production          10 %, 50 %, 100 %, each after a smoke test
  python -m deploy rollback --env production          all traffic to the previous version
  python -m deploy status   --env production          versions, traffic, health, cost
  python -m deploy drift    --env production          has what it sees moved away from the validation images?
  python -m deploy predict  --env production scan.png
  python -m deploy batch    --env production gs://bucket/scans/ --output gs://bucket/answers
  python -m deploy teardown --env staging --confirm countersign-staging

ENV is a file of deploy/environments or a path to one; flags of the same name win over its keys. 'COMMAND --help' lists
the flags of a command. Credentials are the application default ones.
"""
SERVING_SETTINGS = (spec.LocationSettings, spec.RegisteredModelSettings, spec.EndpointSettings)
TRAINING_SETTINGS = (spec.LocationSettings, spec.TrainingJobSettings)
PREPARATION_SETTINGS = (spec.LocationSettings, spec.JobSettings, spec.PreparationSettings)


def read_commit() -> str:
    """Return the short commit of the working tree: from Cloud Build's variable or from git, else the empty text."""
    if commit := os.environ.get("SHORT_SHA"):
        return commit
    try:
        git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)  # noqa: S607
    except OSError:  # git is not installed
        return ""
    return git.stdout.strip() if git.returncode == 0 else ""


def _add_job_flags(parser: Parser, kind: str) -> None:
    """Add the flags of all commands that submit a job of the trainer; ``kind`` is in the names of the jobs."""
    parser.add_argument("--dry-run", action="store_true", help="print the job and submit nothing")
    parser.add_argument(
        "trainer_flags", nargs="*", metavar="-- FLAG", help="flags of trainer.task, after those of [training]"
    )
    parser.add_argument("--no-follow", dest="follow", action="store_false", help="submit, and do not wait for the end")
    parser.add_argument("--name", default="", help=f"name of the job and its folder (default: ENV-{kind}-TIME-XXXX)")
    parser.add_argument("--commit", help="label of the job (default: SHORT_SHA, or git's HEAD)")


def _add_prepare_flags(parser: Parser) -> None:
    _add_job_flags(parser, "data")
    parser.add_argument(
        "--images",
        type=to_argparse_type(between(1, 10**10, int)),
        metavar="COUNT",
        help="number of images, for the estimate of the cost (default: they are listed and counted)",
    )


def _add_train_flags(parser: Parser) -> None:
    _add_job_flags(parser, "job")
    parser.add_argument(
        "--tune",
        type=Path,
        nargs="?",
        const=jobs.JOBS_DIR / "hp_tuning.yaml",
        metavar="FILE",
        help="search hyperparameters by the study of this file (default: deploy/jobs/hp_tuning.yaml)",
    )


def _add_plan_flags(parser: Parser) -> None:
    parser.add_argument("--out", metavar="FILE", help="file of the plan (default: runs/plans/ENV.json)")


def _add_apply_flags(parser: Parser) -> None:
    parser.add_argument("--plan", metavar="FILE", help="the plan that was shown (default: runs/plans/ENV.json)")
    parser.add_argument("--yes", action="store_true", help="make a plan, show it and apply it")


def _add_teardown_flags(parser: Parser) -> None:
    parser.add_argument("--confirm", default="", metavar="ID", help="the endpoint's id, as confirmation")


def _add_predict_flags(parser: Parser) -> None:
    parser.add_argument("files", nargs="*", type=Path, metavar="IMAGE", help="image file")
    parser.add_argument(
        "--reference",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="genuine signature that every IMAGE is compared with; may be given several times",
    )
    parser.add_argument("--return-embedding", action="store_true", help="return the embedding as well")


def _add_batch_flags(parser: Parser) -> None:
    parser.add_argument("input", metavar="PATH", help="gs:// prefix of images, or a gs:// .jsonl file of instances")
    parser.add_argument("--output", required=True, metavar="PREFIX", help="gs:// prefix for the predictions")
    parser.add_argument(
        "--replicas", type=to_argparse_type(between(1, 100, int)), default=1, help="machines (default: 1)"
    )


def _add_drift_flags(parser: Parser) -> None:
    days = to_argparse_type(between(0.01, 365))
    parser.add_argument("--days", type=days, default=7.0, help="of the endpoint's log that are read (default: 7)")
    parser.add_argument("--log-lines", type=Path, metavar="FILE", help="lines of the server's log, instead")
    parser.add_argument("--metrics", type=Path, metavar="FILE", help="what GET /metrics answered, instead")
    parser.add_argument("--metrics-before", type=Path, metavar="FILE", help="an earlier one, from which on is counted")
    parser.add_argument(
        "--baseline", default="", metavar="PATH", help="artefact, or .json file (default: the version that serves)"
    )
    parser.add_argument("--save-baseline", type=Path, metavar="FILE", help="compare nothing: save what was seen")
    parser.add_argument("--json", action="store_true", help="print one line of JSON for each model, for Cloud Logging")


@dataclasses.dataclass(frozen=True)
class Command:
    """A sub-command: its line of help, the settings that it takes as flags, and further flags.

    ``purpose`` is a key of ``spec.REQUIRED_KEYS``: it says which settings cannot be empty.
    """

    help: str
    settings: tuple[type, ...]
    purpose: str
    add_flags: Callable[[Parser], None] = lambda parser: None


COMMANDS = {
    "prepare": Command(
        "submit a job that prepares training data on Dataflow, and follow it",
        PREPARATION_SETTINGS,
        "prepare",
        _add_prepare_flags,
    ),
    "train": Command(
        "submit a training job, or a study of hyperparameters, and follow it",
        TRAINING_SETTINGS,
        "train",
        _add_train_flags,
    ),
    "plan": Command(
        "show the steps to what the environment declares, and keep them", SERVING_SETTINGS, "plan", _add_plan_flags
    ),
    "apply": Command("execute exactly the steps that were shown", SERVING_SETTINGS, "plan", _add_apply_flags),
    "smoke": Command("send golden images through the endpoint and compare the answers", SERVING_SETTINGS, "read"),
    "gate": Command("say whether the candidate may be promoted", SERVING_SETTINGS, "read"),
    "promote": Command("give the candidate all traffic in stages, each after a smoke test", SERVING_SETTINGS, "read"),
    "rollback": Command("give all traffic to the previous version", SERVING_SETTINGS, "read"),
    "status": Command("show versions, traffic, health and cost", SERVING_SETTINGS, "read"),
    "drift": Command(
        "compare what the endpoint saw with the validation images of its model; status 3 if something moved",
        SERVING_SETTINGS,
        "read",
        _add_drift_flags,
    ),
    "teardown": Command(
        "remove the endpoint; versions and artefacts stay", SERVING_SETTINGS, "read", _add_teardown_flags
    ),
    "predict": Command("send image files to the endpoint", SERVING_SETTINGS, "read", _add_predict_flags),
    "batch": Command(
        "run a batch prediction job over a prefix of images or a .jsonl file",
        SERVING_SETTINGS,
        "read",
        _add_batch_flags,
    ),
}


class _TopLevelParser(Parser):
    """The parser of all commands: suggests the nearest command for an unknown one."""

    def error(self, message):
        if unknown := re.match(r"argument COMMAND: invalid choice: '(.*?)'", message):
            name = unknown[1]
            self.exit(2, f"{self.prog}: no command {name!r}{suggest_nearest(name, list(COMMANDS))}; see --help\n")
        super().error(message)


class _CommandParser(Parser):
    """The parser of one command: reports unknown flags itself, so that the error names the command."""

    def parse_known_args(self, args=None, namespace=None):
        options, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return options, unknown


def make_parser() -> Parser:
    """Return the parser of all commands. ``options.parser`` is that of the command, for errors found later."""
    top_level = _TopLevelParser(
        prog="python -m deploy",
        description=DESCRIPTION,
    )
    commands = top_level.add_subparsers(
        title="commands", dest="command", metavar="COMMAND", required=True, parser_class=_CommandParser
    )
    for name, command in COMMANDS.items():
        description = f"{command.help[0].upper()}{command.help[1:]}."
        parser = commands.add_parser(name, prog=f"{top_level.prog} {name}", help=command.help, description=description)
        _add_common_flags(parser)
        command.add_flags(parser)
        for settings in command.settings:
            parser.add_settings(settings)
        parser.set_defaults(parser=parser)
    return top_level


def _add_common_flags(parser: Parser) -> None:
    parser.add_argument("--env", required=True, metavar="ENV", help="a file of deploy/environments, or a path to one")
    parser.add_argument(
        "--api-endpoint",
        default="",
        metavar="URL",
        help="another address of the API, such as a loopback one (or COUNTERSIGN_API_ENDPOINT)",
    )
    parser.add_argument(
        "--anonymous", action="store_true", help="no credentials, for such an address (or COUNTERSIGN_ANONYMOUS=1)"
    )
    parser.add_argument(
        "--poll-interval",
        type=to_argparse_type(between(0.01, 600)),
        default=POLL_INTERVAL,
        metavar="SECONDS",
        help=f"seconds between two requests for the state of an operation or a job (default: {POLL_INTERVAL:g})",
    )
    parser.add_argument(
        "--every",
        dest="poll_interval",
        type=to_argparse_type(between(0.01, 600)),
        default=argparse.SUPPRESS,
        action=OldFlag,
        const="--poll-interval",
        help=argparse.SUPPRESS,
    )


def overrides(options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that the command line sets, by field name."""
    tables = COMMANDS[options.command].settings
    return {name: value for settings in tables for name, value in get_flag_values(settings, options).items()}
