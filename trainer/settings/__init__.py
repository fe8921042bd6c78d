"""Every setting once: frozen dataclasses from which flags, ``--help``, ``config.toml`` and the documentation derive.

``config.py`` lists the settings of a training run; ``flags.py`` makes flags of them; ``plugins.py`` looks a name up in
a folder. Nothing here trains, draws or reads images.
"""
