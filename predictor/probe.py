"""The former name of ``python -m predictor.healthcheck``, which it runs; for one release."""

import runpy
import sys

if __name__ == "__main__":
    notice = "python -m predictor.probe is now python -m predictor.healthcheck; this name goes in the next release"
    print(notice, file=sys.stderr)
    runpy.run_module("predictor.healthcheck", run_name="__main__", alter_sys=True)
