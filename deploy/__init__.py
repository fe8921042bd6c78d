"""Puts an artefact on Vertex AI: jobs, registry, endpoints.

A wish (``spec.py``, from ``environments/*.toml``) and what there is (``observe.py`` to ``live.py``) give a plan
(``plan.py``, pure, of ``steps.py``), which is shown and then carried out (``apply.py``, by ``perform.py``). Of the
trainer it imports what describes an artefact, storage, flags and imaging; Vertex AI's SDK only in ``vertex.py``; never
TensorFlow. Begin with ``commands.py``.
"""
