"""Puts an artefact on Vertex AI: jobs, registry, endpoints.

Imports ``trainer.artifact.manifest`` and ``trainer.storage``; ``google.cloud.aiplatform`` only in one module; never
TensorFlow. The room is empty so far: until its commands land, use the container of ``Dockerfile.serve`` by hand.
"""
