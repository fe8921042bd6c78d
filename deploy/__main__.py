"""``python -m deploy COMMAND --env ENV``: prepare, train, plan, apply, smoke, promote and inspect on Vertex AI.

Runs one command and suggests the next one after a failure. Next: ``command_line.py`` declares commands and flags;
``commands.py``, ``endpoint_commands.py`` and ``job_commands.py`` implement the commands.
"""

import argparse
import io
import os
import shlex
import sys
from pathlib import Path

from deploy import command_line, commands, drift_command, endpoint_commands, job_commands, plan_file, spec
from deploy.errors import ApplyStopped, ServiceUnavailable, SmokeTestFailed, StalePlan
from deploy.spec import Environment
from deploy.vertex import Connection, VertexClient
from trainer.console.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # also a pipe shows progress as it happens, and before an error
        sys.stdout.reconfigure(line_buffering=True)
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = command_line.make_parser()
    if not arguments:
        parser.print_help()
        return 2
    options = parser.parse_args(arguments)
    if options.command == "predict" and not options.files:
        example = f"python -m deploy predict --env {options.env} scan.png"
        options.parser.error(f"predict takes one or more image files, and none was given; for example: {example}")
    prefix = f"python -m deploy {options.command}"
    try:
        return _run(options)
    except (UserError, OSError) as error:
        print(f"{prefix}: {error}{_suggest_next(options.command, arguments[1:], error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\n{prefix}: interrupted; operations that were started go on; run the command again to resume")
        return 130


def _run(options: argparse.Namespace) -> int:
    overrides = command_line.overrides(options)
    saved = None
    if options.command == "apply" and not options.yes:
        saved = plan_file.read(_plan_path(options, options.plan), options.env)
    purpose = command_line.COMMANDS[options.command].purpose
    environment = spec.load(options.env, {**(saved.flags if saved else {}), **overrides}, purpose)
    client = _connect(environment, options)
    match options.command:
        case "prepare":
            prepare_options = job_commands.PrepareOptions(
                options.trainer_flags,
                options.name,
                _choose_commit(options),
                options.images,
                options.dry_run,
                options.follow,
            )
            return job_commands.prepare(client, environment, prepare_options)
        case "train":
            train_options = job_commands.TrainOptions(
                options.trainer_flags,
                options.name,
                _choose_commit(options),
                options.tune,
                options.dry_run,
                options.follow,
            )
            return job_commands.train(client, environment, train_options)
        case "plan":
            path = _plan_path(options, options.out)
            return commands.make_plan(client, environment, path, overrides, _apply_command(options))
        case "apply":
            return commands.apply_environment(client, environment, saved)
        case "teardown":
            return commands.teardown(client, environment, options.confirm)
        case "predict":
            parameters = {"return_embedding": True} if options.return_embedding else {}
            return endpoint_commands.predict(client, environment, options.files, options.reference, parameters)
        case "drift":
            drift_options = drift_command.DriftOptions(
                options.days,
                options.log_lines,
                options.metrics,
                options.metrics_before,
                options.baseline,
                options.save_baseline,
                options.json,
            )
            return drift_command.find_drift(client, environment, drift_options)
        case "batch":
            return job_commands.predict_batch(client, environment, options.input, options.output, options.replicas)
    commands_without_options = {
        "smoke": endpoint_commands.run_smoke_tests,
        "gate": commands.check_gate,
        "promote": commands.promote,
        "rollback": commands.rollback,
        "status": endpoint_commands.show_status,
    }
    return commands_without_options[options.command](client, environment)


def _choose_commit(options: argparse.Namespace) -> str:
    return command_line.read_commit() if options.commit is None else options.commit


def _connect(environment: Environment, options: argparse.Namespace) -> VertexClient:
    """Return a client for the environment's project. Raises ``UserError`` for an address that cannot be used."""
    address = options.api_endpoint or os.environ.get("COUNTERSIGN_API_ENDPOINT", "")
    anonymous = options.anonymous or os.environ.get("COUNTERSIGN_ANONYMOUS", "") not in ("", "0")
    if anonymous and not address:
        raise UserError("--anonymous is for another address of the API; give --api-endpoint URL, too")
    if address and not address.startswith(("http://", "https://")):
        raise UserError(f"--api-endpoint {address!r} is no http:// or https:// address")
    if address.startswith("http://") and not anonymous:
        raise UserError("credentials are not sent in the clear: --api-endpoint http://... goes with --anonymous")
    location = environment.location
    return VertexClient(Connection(location.project, location.region, address, anonymous, options.poll_interval))


def _plan_path(options: argparse.Namespace, file: str | None) -> Path:
    return plan_file.plan_path(spec.find_file(options.env).stem, file)


def _apply_command(options: argparse.Namespace) -> str:
    """Return the shell command that applies a plan; it names only the file, which holds the settings."""
    words = ["python", "-m", "deploy", "apply", "--env", options.env]
    words += ["--plan", options.out] if options.out else []
    words += ["--api-endpoint", options.api_endpoint] if options.api_endpoint else []
    words += ["--anonymous"] if options.anonymous else []
    return shlex.join(words)


def _suggest_next(command: str, flags: list[str], error: Exception) -> str:
    """Return the commands to run after a failure; empty where the error has to be corrected first."""
    suggested: list[list[str]] = []
    if isinstance(error, SmokeTestFailed) or isinstance(error.__cause__, SmokeTestFailed):
        suggested = [["status", *flags], ["rollback", *flags]]
    elif isinstance(error, StalePlan) and command == "apply" and "--yes" not in flags:
        suggested = [["plan", *(flag.replace("--plan", "--out") for flag in flags)]]
    elif isinstance(error, ApplyStopped | StalePlan) or (
        isinstance(error, ServiceUnavailable) and command not in ("prepare", "train", "batch")
    ):
        suggested = [[command, *flags]]
    return "".join(f"\nrun next: {shlex.join(['python', '-m', 'deploy', *words])}" for words in suggested)


def run() -> int:
    """Run ``python -m deploy``, or ``countersign-deploy``; return its exit status."""
    return main()


if __name__ == "__main__":
    raise SystemExit(run())
