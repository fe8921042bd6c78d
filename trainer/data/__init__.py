"""From paths on the command line to batches of canonical images.

In order: ``sources.py`` makes paths local, ``dataset.py`` lists their samples, ``image_index.py`` computes every
canonical image once, ``splits.py`` splits, ``records.py`` writes shards, ``sampling.py`` and ``batches.py`` read them,
``augmentation.py`` augments. Independent of networks and of the audit. Next: ``pipeline/preparation.py``, which calls
them.
"""
