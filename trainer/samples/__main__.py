"""``python -m trainer.samples OUT --writers 40 --seed 7``: write the generated dataset as files.

With ``--pages`` it is one of documents with boxes. Next: ``trainer/generators/signatures.py`` and ``pages.py``.
"""

import shutil
import sys
from pathlib import Path

from trainer.console.errors import UserError
from trainer.console.progress import Progress
from trainer.samples.amount import DatasetSpec
from trainer.settings import plugins
from trainer.settings.flags import Parser

PAGE_LAYOUT = "coco"


def main(arguments: list[str] | None = None) -> int:
    """Write the dataset, complete or not at all; returns the exit status. A folder that is not empty is refused."""
    parser = Parser(prog="python -m trainer.samples", description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path, help="folder to create")
    parser.add_argument("--seed", type=int, default=7, help="the same seed gives the same writers (%(default)s)")
    parser.add_argument(
        "--layout",
        default="",
        help=f"one of {', '.join(plugins.list_names('corpora'))} ({DatasetSpec.layout}; {PAGE_LAYOUT} for pages)",
    )
    parser.add_argument("--pages", type=int, default=0, help="pages of documents, instead of signatures and words")
    for name, unit in (
        ("writers", "number of writers"),
        ("genuine", "genuine signatures of each writer"),
        ("forged", "skilled forgeries of each writer"),
        ("text", "words of each writer"),
        ("other", "other marks of each writer, such as stamps"),
    ):
        parser.add_argument(f"--{name}", type=int, default=getattr(DatasetSpec, name), help=f"{unit} (%(default)s)")
    options = parser.parse_args(arguments)
    options.layout = options.layout or (PAGE_LAYOUT if options.pages else DatasetSpec.layout)
    try:
        plugins.check_name("corpora", options.layout)
    except plugins.UnknownName as error:
        parser.error(str(error))
    corpus = plugins.load("corpora", options.layout)
    if options.pages < 0 or bool(options.pages) != bool(corpus.format_boxes):
        parser.error(
            f"--layout {options.layout} is for {'pages' if corpus.format_boxes else 'single images'}; pages "
            "(--pages N) are in a layout with boxes, and nothing else is"
        )
    if corpus.labels == ():
        parser.error(f"--layout {options.layout} has no labels, so it cannot hold the dataset; choose another")
    if options.seed < 0:
        parser.error(f"--seed is {options.seed}; it has to be 0 or more")
    if options.out.exists() and not options.out.is_dir():
        parser.error(f"{str(options.out)!r} is a file; it has to be a folder")
    spec = DatasetSpec(options.layout, options.writers, options.genuine, options.forged, options.text, options.other)
    if options.pages:
        spec = DatasetSpec(options.layout, pages=options.pages, generator="pages")
    if spec.writers < 1 or min(spec.genuine, spec.forged, spec.text, spec.other) < 0:
        parser.error("--writers has to be 1 or more, the others 0 or more")
    if options.out.exists() and any(options.out.iterdir()):
        parser.error(f"{str(options.out)!r} is not empty; choose another, no file is overwritten")
    partial = options.out.with_name(options.out.name + ".partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        with Progress("generating", spec.count_images()) as progress:
            for done in plugins.load("generators", spec.generator).write_dataset(partial, spec, options.seed):
                progress.update(done)
        partial.replace(options.out)
    except UserError as error:
        print(f"python -m trainer.samples: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        shutil.rmtree(partial, ignore_errors=True)
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
