"""``python -m tests.golden.regenerate``: write the golden images anew, after a deliberate change of imaging.

Sources are generated once and kept; only what imaging makes of them is rewritten. Commit the result by itself.
"""

import json
from pathlib import Path

from PIL import Image

from trainer.imaging import ALGORITHM, Imaging, canonicalise
from trainer.samples import generator

FOLDER = Path(__file__).parent / "imaging"
SEED = 11


def main() -> None:
    """Sources where there are none yet, canonical images always."""
    if not list(FOLDER.glob("*.source.*")):
        for writer in (1, 2, 3):
            for kind in generator.KINDS:
                data, suffix = generator.image(SEED, writer, kind, 0)
                (FOLDER / f"{kind}-{writer}.source{suffix}").write_bytes(data)
    for source in FOLDER.glob("*.source.*"):
        canonical = canonicalise(source.read_bytes(), Imaging()).image[:, :, 0]
        Image.fromarray(canonical).save(source.with_name(source.name.split(".")[0] + ".canonical.png"))
    record = {"algorithm": ALGORITHM, "fingerprint": Imaging().fingerprint()}
    (FOLDER / "algorithm.json").write_text(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
