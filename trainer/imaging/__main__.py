"""The former name of ``python -m trainer.preprocess``, which it runs with a notice, for one release."""

import runpy
import sys

NOTICE = "python -m trainer.imaging is now python -m trainer.preprocess; this name goes in the next release"
print(NOTICE, file=sys.stderr)
runpy.run_module("trainer.preprocess", run_name="__main__", alter_sys=True)
