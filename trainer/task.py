"""``python -m trainer.task``: train a model on images, export it and evaluate the exported artefact.

The command parses its flags to a ``Config``. Next: ``pipeline/train.py`` prepares, trains, exports and evaluates;
``settings/config.py`` has the settings, ``problems/`` the questions that can be learnt.
"""

import os
import signal
import sys


def _stop(*_):
    """End the process at once, on Ctrl-C or on SIGTERM of a preempted machine.

    A kill is safe at any moment; an exception is not raised because TensorFlow may swallow it in its own code.
    """
    if sys.stdout.isatty():
        os.write(1, b"\x1b[?25h")  # the progress bar has hidden the cursor
    text = "interrupted; the same command continues from the newest checkpoint"
    os.write(1, f"\n{text}\n".encode())
    if "trainer.console.messages" in sys.modules:
        sys.modules["trainer.console.messages"].append_to_log_file(text)
    os._exit(130)


def run() -> int:
    """Run ``python -m trainer.task``, or ``countersign-train``; return its exit status."""
    signal.signal(signal.SIGINT, _stop)  # before any import of the trainer: those take seconds
    signal.signal(signal.SIGTERM, _stop)
    from trainer.console import quiet

    quiet.escape_undecodable_output()
    return main()


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status, 1 after an error."""
    from trainer.console import quiet
    from trainer.console.errors import UserError
    from trainer.settings.config import parse_config

    config = parse_config(arguments)
    tensorflow = quiet.import_tensorflow()
    from trainer.pipeline.train import train  # imports Keras

    try:
        train(config)
    except (UserError, OSError) as error:
        print(f"python -m trainer.task: {error}", file=sys.stderr)
        return 1
    except tensorflow.errors.OpError as error:  # a full disk, a damaged shard or checkpoint
        print(f"python -m trainer.task: {type(error).__name__}: {error.message}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(run())
