"""An exported model: what the directory holds and how to run it, the same for evaluation, server and offline use.

``manifest.py`` describes, ``engine.py`` computes vectors, ``decision.py`` turns them into answers, ``golden.py`` proves
that this machine sees and answers as the one that exported. ``artifact.py`` puts the four together. Nothing here
imports TensorFlow until a TensorFlow engine is asked for.
"""
