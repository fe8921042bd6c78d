"""The contract that Cloud Build holds the built container to, held to a server of this tree."""

import dataclasses
import shutil

import pytest

from deploy import release
from deploy.smoke import SmokeFailed
from tests.contract import container
from trainer.artifact import golden_file, manifest


def test_a_server_of_this_tree_keeps_the_contract(server, artifact):
    assert container.check(server, artifact) == 9


def test_a_verifier_keeps_it_too(hands_server, hands):
    assert container.check(hands_server, hands) == 9


def test_a_server_of_another_artefact_does_not(server, artifact, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(artifact, other)
    golden = golden_file.read(other)
    changed = {name: [value + 0.01 for value in vector] for name, vector in golden[0].vectors.items()}
    golden_file.write([dataclasses.replace(golden[0], vectors=changed), *golden[1:]], other)
    manifest.write(manifest.read(other), other)
    release.opened.cache_clear()
    with pytest.raises(SmokeFailed, match="away from what was recorded"):
        container.check(server, other)
