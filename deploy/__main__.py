"""``python -m deploy COMMAND --env ENV``: train, plan, apply, smoke, promote, roll back, and look, on Vertex AI.

Flags only; ``commands.py`` does what they say.
"""

import io
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from deploy import commands, jobs, saved, spec
from deploy.apply import Moved, Stopped
from deploy.smoke import SmokeFailed
from deploy.spec import Environment
from deploy.vertex import POLL, Connection, Unavailable, Vertex
from trainer.console.errors import UserError
from trainer.settings.flags import Parser, between, checked, given
from trainer.settings.spelling import nearest

HELP = """\
Put a model on Vertex AI: train it there, register, deploy, promote, roll back, and ask it.

  python -m deploy train    --env staging --dry-run   the job that would be submitted
  python -m deploy plan     --env staging --artifact gs://... --image ...@sha256:...
  python -m deploy apply    --env staging             the plan that was shown, artefact and image included
  python -m deploy smoke    --env staging             golden images through the endpoint
  python -m deploy gate     --env production          may the candidate be promoted?
  python -m deploy promote  --env production          10 %, 50 %, 100 %, each after smoke
  python -m deploy rollback --env production          all traffic to the version before
  python -m deploy status   --env production          versions, traffic, health, cost
  python -m deploy predict  --env production scan.png
  python -m deploy batch    --env production gs://bucket/scans/ --output gs://bucket/answers
  python -m deploy teardown --env staging --confirm countersign-staging

ENV is a file of deploy/environments or a path to one; flags of the same name win over its keys. 'COMMAND --help' tells
a command's flags. Credentials are the application default ones.
"""
SERVING, JOBS = (spec.Place, spec.Model, spec.Endpoint), (spec.Place, spec.Training)
Command = tuple[str, tuple[type, ...], str]  # what it does, the settings it takes, what has to be set for it
COMMANDS: dict[str, Command] = {
    "train": ("submit a training job, or a study of hyperparameters, and follow it", JOBS, "train"),
    "plan": ("show the steps to what the environment declares, and keep them", SERVING, "plan"),
    "apply": ("do exactly the steps that were shown", SERVING, "plan"),
    "smoke": ("golden images through the endpoint, answers compared", SERVING, "read"),
    "gate": ("say whether the candidate may be promoted", SERVING, "read"),
    "promote": ("the candidate to all traffic, by canary shares, each after smoke", SERVING, "read"),
    "rollback": ("all traffic to the version before", SERVING, "read"),
    "status": ("versions, traffic, health and cost", SERVING, "read"),
    "teardown": ("remove the endpoint; versions and artefacts stay", SERVING, "read"),
    "predict": ("ask the endpoint about image files", SERVING, "read"),
    "batch": ("a batch prediction job over a prefix of images or a .jsonl file", SERVING, "read"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns its exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a pipe shows progress as it happens, too, and before an error
        sys.stdout.reconfigure(line_buffering=True)
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP, end="")
        return 0 if arguments else 2
    command = arguments[0]
    if command not in COMMANDS:
        print(
            f"python -m deploy: no command {command!r}{nearest(command, list(COMMANDS))}; see --help", file=sys.stderr
        )
        return 2
    _, sections, use = COMMANDS[command]
    flags = _parser(command)
    options = flags.parse_args(arguments[1:])
    if command == "predict" and not options.files:
        example = f"python -m deploy predict --env {options.env} scan.png"
        flags.error(f"predict takes one or more image files, and none was given; for example: {example}")
    try:
        options.flags = {name: value for section in sections for name, value in given(section, options).items()}
        options.shown = _shown(options) if command == "apply" else None
        from_plan = options.shown.flags if options.shown else {}
        environment = spec.load(options.env, {**from_plan, **options.flags}, use)
        return _run(command, _vertex(environment, options), environment, options)
    except (UserError, OSError) as error:
        print(f"python -m deploy {command}: {error}{_next(command, arguments[1:], error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\npython -m deploy {command}: interrupted; what was begun goes on, run it again to go on from there")
        return 130


def _parser(command: str) -> Parser:
    does, sections, _ = COMMANDS[command]
    flags = Parser(prog=f"python -m deploy {command}", description=does[0].upper() + does[1:] + ".")
    flags.add_argument("--env", required=True, metavar="ENV", help="a file of deploy/environments, or a path to one")
    flags.add_argument(
        "--api-endpoint", default="", metavar="URL",
        help="another address of the API, such as a loopback one (or COUNTERSIGN_API_ENDPOINT)",
    )  # fmt: skip
    flags.add_argument(
        "--anonymous", action="store_true",
        help="no credentials, for such an address (or COUNTERSIGN_ANONYMOUS=1)",
    )  # fmt: skip
    flags.add_argument(
        "--every", type=checked(between(0.01, 600)), default=POLL, metavar="SECONDS",
        help=f"how often operations and jobs are looked at (default: {POLL:g})",
    )  # fmt: skip
    {"train": _train_flags, "plan": _plan_flags, "apply": _apply_flags, "teardown": _teardown_flags,
     "predict": _predict_flags, "batch": _batch_flags}.get(command, lambda flags: None)(flags)  # fmt: skip
    for section in sections:
        flags.add_settings(section)
    return flags


def _train_flags(flags: Parser) -> None:
    flags.add_argument("--dry-run", action="store_true", help="print the job and submit nothing")
    flags.add_argument("more", nargs="*", metavar="-- FLAG", help="flags of trainer.task, after those of [training]")
    flags.add_argument("--no-follow", dest="follow", action="store_false", help="submit, and do not wait for the end")
    flags.add_argument("--name", default="", help="of the job and of its folder; ENV-job-TIME-XXXX if not given")
    flags.add_argument("--commit", default=_commit(), help="label of the job (default: SHORT_SHA, or git's HEAD)")
    flags.add_argument(
        "--tune", type=Path, nargs="?", const=jobs.FOLDER / "hp_tuning.yaml", metavar="FILE",
        help="search hyperparameters by the study of this file (default: deploy/jobs/hp_tuning.yaml)",
    )  # fmt: skip


def _plan_flags(flags: Parser) -> None:
    flags.add_argument("--out", metavar="FILE", help="where the plan is kept (default: runs/plans/ENV.json)")


def _apply_flags(flags: Parser) -> None:
    flags.add_argument("--plan", metavar="FILE", help="the plan that was shown (default: runs/plans/ENV.json)")
    flags.add_argument("--yes", action="store_true", help="plan now, show it, and carry it out")


def _teardown_flags(flags: Parser) -> None:
    flags.add_argument("--confirm", default="", metavar="ID", help="the endpoint's id, to show that it is meant")


def _predict_flags(flags: Parser) -> None:
    flags.add_argument("files", nargs="*", type=Path, metavar="IMAGE", help="image file")
    flags.add_argument(
        "--reference", action="append", default=[], type=Path, metavar="FILE",
        help="genuine signature that every IMAGE is compared with; may be given several times",
    )  # fmt: skip
    flags.add_argument("--return-embedding", action="store_true", help="ask for the embedding as well")


def _batch_flags(flags: Parser) -> None:
    flags.add_argument("given", metavar="PATH", help="gs:// prefix of images, or a gs:// .jsonl file of instances")
    flags.add_argument("--output", required=True, metavar="PREFIX", help="gs:// prefix for the answers")
    flags.add_argument("--replicas", type=checked(between(1, 100, int)), default=1, help="machines (default: 1)")


def _vertex(environment: Environment, options: Any) -> Vertex:
    address = options.api_endpoint or os.environ.get("COUNTERSIGN_API_ENDPOINT", "")
    anonymous = options.anonymous or os.environ.get("COUNTERSIGN_ANONYMOUS", "") not in ("", "0")
    if anonymous and not address:
        raise UserError("--anonymous is for another address of the API; give --api-endpoint URL, too")
    if address and not address.startswith(("http://", "https://")):
        raise UserError(f"--api-endpoint {address!r} is no http:// or https:// address")
    if address.startswith("http://") and not anonymous:
        raise UserError("credentials are not sent in the clear: --api-endpoint http://... goes with --anonymous")
    place = environment.place
    return Vertex(Connection(place.project, place.region, address, anonymous, options.every))


def _plan_file(options: Any, file: str | None) -> Path:
    return saved.place(spec.find(options.env).stem, file)


def _shown(options: Any) -> saved.Saved | None:
    """The plan that ``apply`` carries out; None where it makes one itself."""
    return None if options.yes else saved.read(_plan_file(options, options.plan), options.env)


def _apply_command(options: Any) -> str:
    """The command that carries out a plan, for a shell: settings come from the plan, so only its place is named."""
    words = ["python", "-m", "deploy", "apply", "--env", options.env]
    words += ["--plan", options.out] if options.out else []
    words += ["--api-endpoint", options.api_endpoint] if options.api_endpoint else []
    words += ["--anonymous"] if options.anonymous else []
    return shlex.join(words)


def _run(command: str, vertex: Vertex, environment: Environment, options: Any) -> int:
    match command:
        case "train":
            return commands.train(vertex, environment, options)
        case "plan":
            file = _plan_file(options, options.out)
            return commands.plan(vertex, environment, file, options.flags, _apply_command(options))
        case "apply":
            return commands.apply_(vertex, environment, options.shown)
        case "teardown":
            return commands.teardown(vertex, environment, options.confirm)
        case "predict":
            parameters = {"return_embedding": True} if options.return_embedding else {}
            return commands.predict(vertex, environment, options.files, options.reference, parameters)
        case "batch":
            return commands.batch_(vertex, environment, options.given, options.output, options.replicas, options.every)
    simple = {"smoke": commands.smoke_, "gate": commands.check, "promote": commands.promote,
              "rollback": commands.rollback, "status": commands.status}  # fmt: skip
    return simple[command](vertex, environment)


def _next(command: str, flags: list[str], error: Exception) -> str:
    """The commands that go on after a failure, as they are typed; empty where none does before the error is mended."""
    if isinstance(error, SmokeFailed) or isinstance(error.__cause__, SmokeFailed):
        following = [["status", *flags], ["rollback", *flags]]
    elif isinstance(error, Moved) and command == "apply" and "--yes" not in flags:
        following = [["plan", *(flag.replace("--plan", "--out") for flag in flags)]]
    elif isinstance(error, Stopped | Moved) or (isinstance(error, Unavailable) and command not in ("train", "batch")):
        following = [[command, *flags]]
    else:
        following = []
    return "".join(f"\nrun next: {shlex.join(['python', '-m', 'deploy', *words])}" for words in following)


def _commit() -> str:
    """What the tree is at: Cloud Build's variable, else git's answer, else nothing."""
    import subprocess

    if found := os.environ.get("SHORT_SHA"):
        return found
    try:
        asked = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)  # noqa: S607
    except OSError:  # no git
        return ""
    return asked.stdout.strip() if asked.returncode == 0 else ""


if __name__ == "__main__":
    raise SystemExit(main())
