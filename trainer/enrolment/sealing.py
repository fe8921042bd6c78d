"""Encrypt what is stored about writers, with a key that is kept elsewhere: AES-256-GCM (NIST SP 800-38D).

The cipher is that of the ``cryptography`` library. Without a key nothing is encrypted. Next: ``store.py``.
"""

import base64
import binascii
import hashlib
import hmac
import os
from pathlib import Path
from typing import Protocol

from trainer.enrolment.errors import EnrolmentError

KEY_BYTES, NONCE_BYTES = 32, 12


class Sealer(Protocol):
    """Turns what is stored about a writer into bytes, and back; ``context`` says which record it is."""

    def seal(self, data: bytes, context: bytes) -> bytes:
        """Return the bytes to store."""

    def unseal(self, sealed: bytes, context: bytes) -> bytes:
        """Return what was sealed in the same context. Raises ``EnrolmentError`` for anything else."""

    def make_lookup(self, name: str) -> bytes:
        """Return the bytes by which a writer is found: always the same for one name and key."""


class Unencrypted:
    """Stores everything as it is."""

    def seal(self, data: bytes, context: bytes) -> bytes:
        """Return the data."""
        return data

    def unseal(self, sealed: bytes, context: bytes) -> bytes:
        """Return the data."""
        return sealed

    def make_lookup(self, name: str) -> bytes:
        """Return the name in UTF-8."""
        return name.encode()


class Encrypted:
    """Encrypts with a key of 32 bytes, and authenticates: a record that was changed or moved is refused.

    A record is a random nonce and the ciphertext. The lookup of a name is its HMAC-SHA256, so that the file names
    nobody.
    """

    def __init__(self, key: bytes):
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._cipher = AESGCM(key)
        self._lookup_key = hmac.digest(key, b"countersign lookup", hashlib.sha256)

    def seal(self, data: bytes, context: bytes) -> bytes:
        """Encrypt data, with a new nonce."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, context)

    def unseal(self, sealed: bytes, context: bytes) -> bytes:
        """Decrypt data. Raises ``EnrolmentError`` if the key is another one, or the record was changed."""
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
        except (InvalidTag, ValueError):
            raise EnrolmentError("a record was encrypted with another key, or has been changed") from None

    def make_lookup(self, name: str) -> bytes:
        """Return the HMAC of the name."""
        return hmac.digest(self._lookup_key, name.encode(), hashlib.sha256)


def make_sealer(key: bytes | None) -> Sealer:
    """Make the sealer of a key, or the one that does not encrypt."""
    return Unencrypted() if key is None else Encrypted(key)


def read_key(path: Path) -> bytes:
    """Read a key of 32 bytes, in base64, such as ``openssl rand -base64 32`` writes. Raises ``EnrolmentError``."""
    try:
        key = base64.b64decode(path.read_text().strip(), validate=True)
    except OSError as error:
        raise EnrolmentError(f"the key of the writers on file cannot be read: {error}") from None
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise EnrolmentError(
            f"{str(path)!r} is no key; it has to be {KEY_BYTES} random bytes in base64: openssl rand -base64 32"
        )
    return key
