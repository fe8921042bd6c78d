"""How good an exported model is: what is compared with what, the numbers, and the report.

``measure.py`` runs the artefact, ``metrics.py`` has the numbers, ``protocol.py`` the comparisons of verification and
``calibration.py`` its decision; ``classification.py`` and ``verification.py`` make tables and plots,
``report.py`` the files.
"""
