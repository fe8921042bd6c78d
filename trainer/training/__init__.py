"""Train a model on records and export it as an artefact, on one or several machines, across interruptions.

``network.py`` builds the Keras model, ``warm_start.py`` loads initial weights, ``loop.py`` trains with
``tf.distribute``, ``checkpoints.py`` stores the state, ``cluster.py`` joins several machines, ``export.py`` writes the
artefact.
"""
