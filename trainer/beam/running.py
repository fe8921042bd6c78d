"""Run a pipeline to its end, whatever its runner; an interruption of the command cancels it.

Next: ``options.py`` names the runners; ``execution.py`` and ``predictor/batch/beam.py`` build pipelines.
"""

import apache_beam as beam

from trainer.console.errors import UserError

NAMESPACE = "countersign"  # of the counters


class PipelineFailed(UserError):
    """A pipeline of Beam did not succeed; the message has its state, and what the same command does."""


def run_pipeline(pipeline: beam.Pipeline, title: str, remedy: str) -> dict[str, int]:
    """Run a pipeline, and return its counters by name. Raises ``PipelineFailed``, whose message has the ``remedy``."""
    try:
        result = pipeline.run()
        try:
            state = result.wait_until_finish()
        except KeyboardInterrupt:
            result.cancel()
            raise
    except Exception as error:  # of any type, because runners raise what the code of a worker raised
        raise PipelineFailed(f"the pipeline for {title} failed; {remedy}: {error}") from error
    if state != "DONE":
        raise PipelineFailed(f"the pipeline for {title} ended as {state}; {remedy}")
    counters = result.metrics().query()["counters"]
    return {each.key.metric.name: each.committed for each in counters if each.key.metric.namespace == NAMESPACE}
