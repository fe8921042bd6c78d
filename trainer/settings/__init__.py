"""Settings: frozen dataclasses from which flags, ``--help``, ``config.toml`` and the documentation derive.

``sections.py`` declares the settings of a training run, ``config.py`` reads them, ``flags.py`` turns any settings into
flags, ``plugins.py`` finds problems, backbones and corpora by name. Nothing here trains or reads images.
"""
