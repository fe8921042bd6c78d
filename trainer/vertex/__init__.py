"""What a Vertex AI job adds to a training: Experiments, hyperparameter tuning, TensorBoard event files.

A local run needs none of it. Next: ``trainer/pipeline/train.py`` calls these modules.
"""
