"""From what people name as data to batches of canonical images.

In order: ``sources.py`` makes folders local, ``dataset.py`` reads them, ``image_index.py`` looks at every image once,
``splits.py`` divides, ``records.py`` writes shards, ``sampling.py`` and ``batches.py`` read them, ``augmentation.py``
varies. Knows no network and no audit.
"""
