"""Work on all processors in processes of their own. Shared with predictor, standard library only.

Next: ``processes.py``.
"""
