"""Makes an artefact: images in, an exported model with honest numbers out.

Vertex AI copies this folder alone to a training machine, so nothing here imports ``predictor`` or
``deploy``. Start reading at ``task.py`` (the command) or ``problems/`` (what can be learnt).
"""
