"""From records to an exported artefact: the network, the training loop, and what makes both survive interruptions.

``network.py`` builds the Keras model, ``loop.py`` trains it on ``tf.distribute``, ``checkpoints.py`` keeps its state,
``warm_start.py`` gives it initial weights, ``cluster.py`` joins several machines, ``export.py`` writes the artefact.
"""
