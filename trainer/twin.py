"""The former name of ``python -m trainer.variant``, which it runs with a notice, for one release."""

import runpy
import sys

if __name__ == "__main__":
    print(
        "python -m trainer.twin is now python -m trainer.variant; this name goes in the next release", file=sys.stderr
    )
    runpy.run_module("trainer.variant", run_name="__main__", alter_sys=True)
