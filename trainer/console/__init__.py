"""What all commands use on a terminal: the error type for users, log messages, progress bars, a quiet TensorFlow.

Imports nothing else of this package, so every folder may import it. Next: ``messages.py``.
"""
