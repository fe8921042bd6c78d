"""The generated dataset: signatures, skilled forgeries and words of synthetic writers.

The default data of ``trainer.task`` and the only images in tests and docs. ``amount.py`` is the size of a dataset,
``generator.py`` writes its files; ``writer.py`` is the movement, ``pen.py`` the ink, ``words.py`` the text,
``paper.py`` the scan. Next: ``generator.py``.
"""
