"""Vertex AI on loopback, for the real SDK and the real gcloud: no cloud, no credentials, no mocks of our own code.

``routes.py`` takes verbs and paths from the installed SDK's own REST tables and parses bodies with its protos, so that
a field the API does not have is a 400; ``world.py`` holds the state and the rules; ``server.py`` is the HTTP in front,
with faults on demand; ``machines.py`` runs what jobs and deployments are: the trainer and the predictor.
"""
