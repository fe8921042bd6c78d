"""How large a generated dataset is and in which layout; light, so that a problem can say it without the generator."""

import dataclasses

from trainer.settings import plugins

KINDS = ("genuine", "forged", "text")


@dataclasses.dataclass(frozen=True)
class Amount:
    """How large a dataset is, in which layout: ``writers`` people and so many images of each kind by every one."""

    layout: str = "class_folders"
    writers: int = 40
    genuine: int = 12
    forged: int = 8
    text: int = 20

    def images(self) -> int:
        """Files in all."""
        corpus = plugins.load("corpora", self.layout)
        return self.writers * sum(getattr(self, kind) for kind in KINDS if label_of(corpus, kind) is not None)


def label_of(corpus, kind):
    """What a layout calls a kind of image: its own name where the layout has such a label, else signature or text."""
    if corpus.labels is None:
        return "text" if kind == "text" else "signature"
    return kind if kind in corpus.labels else None
