"""``python -m tests.golden.regenerate``: write the golden canonical images again, after a deliberate change of imaging.

Their source images are generated only once. Commit the result separately from the change.
"""

import argparse
import json
from pathlib import Path

from PIL import Image

from trainer.generators import signatures as generator
from trainer.imaging import ALGORITHM, Imaging, canonicalise

FOLDER = Path(__file__).parent / "imaging"
SEED = 11


def main() -> None:
    """Generate the source images if there are none, and write the canonical images."""
    if not list(FOLDER.glob("*.source.*")):
        for writer in (1, 2, 3):
            for sample_kind in generator.SampleKind:
                data, suffix = generator.generate_image(SEED, writer, sample_kind, 0)
                (FOLDER / f"{sample_kind}-{writer}.source{suffix}").write_bytes(data)
    for source in FOLDER.glob("*.source.*"):
        canonical = canonicalise(source.read_bytes(), Imaging()).image[:, :, 0]
        Image.fromarray(canonical).save(source.with_name(source.name.split(".")[0] + ".canonical.png"))
    values = {"algorithm": ALGORITHM, "fingerprint": Imaging().fingerprint()}
    (FOLDER / "algorithm.json").write_text(json.dumps(values) + "\n")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    main()
