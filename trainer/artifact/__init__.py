"""An artefact is an exported model: its files, and the code that answers with it in evaluation, server and offline use.

``manifest.py`` describes the files, ``engine.py`` computes vectors, ``decision.py`` turns vectors into answers,
``golden.py`` checks that this machine reproduces the answers of the export. Only a TensorFlow engine imports
TensorFlow. Next: ``artifact.py``, which combines the four.
"""
