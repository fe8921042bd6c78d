"""The stages of a training run in their order, and the folder that they fill.

``run_dir.py`` is the folder, ``problem_defaults.py`` completes the settings, ``preparation.py`` prepares the records,
``train.py`` goes on to a measured artefact. The stages themselves are the packages beside this one; they know no run.
Next: ``train.py``.
"""
