"""Answers with an artefact: the prediction container, a request maker and offline prediction.

Imports ``trainer.imaging``, ``trainer.artifact``, ``trainer.storage`` and ``trainer.flags``, nothing else of trainer,
and never TensorFlow at import. Start at ``service.py`` (what an answer is) or ``app.py`` (how HTTP asks for one).
"""
