"""Answers to many files: on all processors, into a file that an interrupted run continues, or on Apache Beam.

What ``predictor.offline`` runs. Next: ``workers.py``, which answers; ``line_output.py`` and ``parquet_output.py``,
which write; ``beam.py``.
"""
