"""``python -m trainer.task``: images to an exported model with honest numbers.

Flags to a ``Config`` to ``pipeline/train.py``, which prepares, trains, exports and evaluates. Start with
``settings/config.py`` for the settings or ``problems/`` for what can be learnt.
"""

import os
import signal
import sys


def _stop(*_):
    """Ctrl-C, or SIGTERM of a preempted machine. At once: a kill at any moment is safe, and TensorFlow may swallow an
    exception that is raised while its own code runs."""
    if sys.stdout.isatty():
        os.write(1, b"\x1b[?25h")  # the progress bar has hidden the cursor
    text = "interrupted; the same command continues from the newest checkpoint"
    os.write(1, f"\n{text}\n".encode())
    if "trainer.console.messages" in sys.modules:
        sys.modules["trainer.console.messages"].keep_now(text)
    os._exit(130)


if __name__ == "__main__":  # before the imports below, which take seconds
    signal.signal(signal.SIGINT, _stop)
    signal.signal(signal.SIGTERM, _stop)

from trainer.console import quiet
from trainer.console.errors import UserError
from trainer.settings import config


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    wanted = config.from_command_line(arguments)
    tensorflow = quiet.import_tensorflow()
    from trainer.pipeline.train import train  # imports Keras

    try:
        train(wanted)
    except (UserError, OSError) as error:
        print(f"python -m trainer.task: {error}", file=sys.stderr)
        return 1
    except tensorflow.errors.OpError as error:  # a full disk, a damaged shard or checkpoint
        print(f"python -m trainer.task: {type(error).__name__}: {error.message}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    quiet.print_any_name()
    raise SystemExit(main())
