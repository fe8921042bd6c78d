"""What commands share on a terminal: the user-error type, log messages, progress, and a quiet TensorFlow.

Imports nothing else of this package, so every folder may import it.
"""
