"""``python -m trainer.samples OUT --writers 40 --seed 7``: write the generated dataset as files."""

import shutil
from pathlib import Path

from trainer.console.progress import Progress
from trainer.samples import generator
from trainer.samples.amount import Amount
from trainer.settings import plugins
from trainer.settings.flags import Parser


def main(arguments: list[str] | None = None) -> int:
    """Write the files, all or none; an existing folder that holds anything is refused."""
    parser = Parser(prog="python -m trainer.samples", description=__doc__)
    parser.add_argument("out", type=Path, help="folder to create")
    parser.add_argument("--seed", type=int, default=7, help="the same seed gives the same people (%(default)s)")
    parser.add_argument(
        "--layout", default=Amount.layout, help=f"one of {', '.join(plugins.names('corpora'))} (%(default)s)"
    )
    for name, what in (
        ("writers", "people"),
        ("genuine", "signatures of each"),
        ("forged", "skilled forgeries of each"),
        ("text", "words of each"),
    ):
        parser.add_argument(f"--{name}", type=int, default=getattr(Amount, name), help=f"{what} (%(default)s)")
    options = parser.parse_args(arguments)
    try:
        plugins.check("corpora", options.layout)
    except plugins.UnknownName as error:
        parser.error(str(error))
    if plugins.load("corpora", options.layout).labels == ():
        parser.error(f"--layout {options.layout} holds no labels, so no dataset; choose another")
    if options.seed < 0:
        parser.error(f"--seed is {options.seed}; it has to be 0 or more")
    if options.out.exists() and not options.out.is_dir():
        parser.error(f"{str(options.out)!r} is a file; a folder is wanted")
    amount = Amount(options.layout, options.writers, options.genuine, options.forged, options.text)
    if amount.writers < 1 or min(amount.genuine, amount.forged, amount.text) < 0:
        parser.error("--writers has to be 1 or more, the others 0 or more")
    if options.out.exists() and any(options.out.iterdir()):
        parser.error(f"{str(options.out)!r} is not empty; nothing is ever written over")
    partial = options.out.with_name(options.out.name + ".partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        with Progress("generating", amount.images()) as progress:
            for done in generator.write(partial, amount, options.seed):
                progress.show(done)
        partial.replace(options.out)
    except OSError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        shutil.rmtree(partial, ignore_errors=True)
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
