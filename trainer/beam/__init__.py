"""Preparing data with Apache Beam: the steps that read every image, on local processes, Dataflow, Flink or Spark.

``python -m trainer.prepare --runner`` starts here; the records are those of a local run, byte for byte. Needs
``pip install 'countersign[beam]'``. Next: ``execution.py`` runs the steps, ``options.py`` names the runners.
"""
