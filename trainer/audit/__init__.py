"""Checks of data before a model is trained on it: duplicates, writers in two splits, shortcuts, imbalance.

``audit.py`` runs the checks on an image index, with one file for each: ``duplicates.py`` (by
``data/near_duplicates.py``), ``shortcuts.py`` (by ``leak_probe.py``), ``statistics.py``, ``verification_check.py``.
``python -m trainer.audit DATA...`` prints the findings, ``html_report.py`` shows the images, and
``pipeline/preparation.py`` runs the audit before every split. Works on the image index, not on models.
"""
