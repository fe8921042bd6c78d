"""Answers with an artefact: the prediction container, a request maker and offline prediction.

Of ``trainer`` it imports what both share, ``artifact``, ``imaging``, ``storage``, ``settings`` and ``console``, and
never TensorFlow at import. Start at ``service.py`` (what an answer is) or ``app.py`` (how HTTP asks for one).
"""
