"""Other model servers around the same SavedModel and the same imaging, each pinned in an environment of its own.

``NAME.txt`` is what is installed, ``serve_NAME.py`` what is run. Each is set as its makers advise for few
cores: one worker process a core, one TensorFlow thread a worker.
"""
