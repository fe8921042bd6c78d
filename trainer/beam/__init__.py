"""Apache Beam: preparing data with it, and the runners, local processes, Dataflow, Flink and Spark, by name.

``python -m trainer.prepare --runner`` starts here; the records are those of a local run, byte for byte. Needs
``pip install 'countersign[beam]'``. Next: ``execution.py`` runs the steps, ``options.py`` names the runners.
"""
