"""The order of things: a run's folder, and the stages that fill it.

``run_dir.py`` is the folder, ``problem_defaults.py`` completes the settings, ``preparation.py`` goes from data to
records, ``train.py`` from there to a measured artefact. The stages themselves are folders beside this one, and know no
run.
"""
