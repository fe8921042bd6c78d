"""A server of this tree passes the check of the container that Cloud Build runs."""

import dataclasses
import shutil

import pytest

from deploy import artifact_store
from deploy.errors import SmokeTestFailed
from tests.contract import container
from trainer.artifact import golden_file, manifest


def test_a_server_of_this_tree_passes(server, artifact):
    assert container.check_container(server, artifact) == 9


def test_a_server_of_a_verifier_passes(verifier_server, verifier_artifact):
    assert container.check_container(verifier_server, verifier_artifact) == 9


def test_a_server_of_another_artefact_fails(server, artifact, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(artifact, changed)
    golden = golden_file.read(changed)
    vectors = {name: [value + 0.01 for value in vector] for name, vector in golden[0].vectors.items()}
    golden_file.write([dataclasses.replace(golden[0], vectors=vectors), *golden[1:]], changed)
    manifest.write(manifest.read(changed), changed)
    artifact_store.open_artifact.cache_clear()
    with pytest.raises(SmokeTestFailed, match="away from what was recorded"):
        container.check_container(server, changed)
