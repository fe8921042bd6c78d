"""The former name of ``python -m trainer.data``, which it runs; for one release. Next: ``trainer/data/__main__.py``."""

import runpy
import sys

print("python -m trainer.corpora is now python -m trainer.data; this name goes in the next release", file=sys.stderr)
runpy.run_module("trainer.data", run_name="__main__", alter_sys=True)
