"""Writers on file: their reference embeddings in one SQLite file, to verify against and to identify writers with.

``store.py`` keeps the file, ``writers.py`` adds and removes writers and references, ``gallery.py`` finds the writers
whose references are nearest to a signature. Embeddings are biometric data: ``sealing.py`` encrypts them at rest. Shared
by trainer and predictor, without TensorFlow. Start at ``gallery.py``.
"""
