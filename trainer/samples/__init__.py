"""The generated dataset: signatures, skilled forgeries and words of people who do not exist.

The embedded default of ``trainer.task`` and the only images in tests and docs. ``generator.py`` writes files,
``amount.py`` says how many; ``hand.py`` writes, ``pen.py`` moves and draws, ``words.py`` prints, ``paper.py`` scans.
"""
