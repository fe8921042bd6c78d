"""What is wrong with data before anything is learnt from it: duplicates, crossings, shortcuts, imbalance.

``examine.py`` turns a survey into findings, with one file for each kind of look: ``copies.py`` (by
``data/near_copies.py``), ``shortcuts.py`` (by ``leak_probe.py``), ``statistics.py``,
``verification_check.py``. ``python -m trainer.audit DATA...`` prints
them, ``html.py`` shows the images, and ``trainer/prepare.py`` asks before every split. Knows surveys, not models.
"""
