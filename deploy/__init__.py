"""Puts an artefact on Vertex AI: training jobs, model registry, endpoints.

``plan.py`` (pure) compares an environment (``spec.py``, from ``environments/*.toml``) with the live state
(``live_state.py``, read by ``live_state_reader.py``) and returns a plan made of ``steps.py``. The plan is shown, then
applied (``apply.py``, by ``executor.py``). Of the trainer, deploy imports what describes an artefact, storage, flags
and imaging, never TensorFlow; only ``vertex.py`` imports the SDK of Vertex AI. Next: ``commands.py``.
"""
