"""Evaluate an exported model: which signatures are compared, the metrics, and the report.

``measure.py`` runs the artefact. ``metrics.py`` computes error rates and the metrics of classifiers,
``verification_metrics.py`` those of the comparisons that ``protocol.py`` makes; ``calibration.py`` fits the decision of
a verifier. ``classification.py`` and ``verification.py`` make tables and plots, which ``report.py`` writes to files.
"""
