"""Train models on images of signatures, measure them on unseen writers, and export them as artefacts.

Vertex AI copies only this folder to a training machine, so nothing here imports ``predictor`` or ``deploy``. Next:
``task.py``, the command that trains, or ``problems/``, the questions that can be learnt.
"""
