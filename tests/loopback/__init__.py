"""Vertex AI on loopback, for the real SDK and the real gcloud: no cloud, no credentials, no mocks of our own code.

``routes.py`` takes verbs and paths from the REST tables of the installed SDK and parses bodies with its protos, so a
field that the API does not have is a 400. ``world.py`` holds the state and the rules; ``server.py`` is the HTTP server,
with faults on demand; ``machines.py`` runs the trainer for jobs and the predictor for deployed models.
"""
