"""The keys of a registry: the node's CA, and the key that signs its list.

In: a node's settings, what it starts with, the passphrase. Out: keys that fit the directory. Refuses with BAD_CONFIG
and the setting, and with KEY_FILE: a CA that no peer would believe or a key of another list is found before anybody
enrols.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography import x509
from nacl.public import PrivateKey
from nacl.signing import SigningKey
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Signed, Targets

from gateway import keys
from gateway.config import Registry
from gateway.errors import ErrorCode, Refusal
from gateway.hidden import Passphrase
from gateway.identity import UNREADABLE_CERTIFICATE
from gateway.material import NodeMaterial
from gateway.registry.certify import Authority
from gateway.registry.proofs import proof_key
from gateway.trust.copy import GoodCopy
from gateway.trust.roles import TARGETS, node_role
from gateway.trust.signing import signer_of

_MAX_PEM_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class RegistryKeys:
    """What a registry signs with.

    Args:
        authority: the node's CA.
        directory: signs the node's list.
        proof: proofs of possession of sealing keys are made to it.
    """

    authority: Authority
    directory: SigningKey = field(repr=False)
    proof: PrivateKey = field(repr=False)


def load_registry_keys(registry: Registry, material: NodeMaterial, phrase: Passphrase | None) -> RegistryKeys:
    """Read the keys that the settings name, and check that they are what the directory says.

    Raises:
        Refusal: BAD_CONFIG, with the setting that does not fit; KEY_FILE, with the path.
    """
    certificate = _read_certificate(registry.ca_certificate)
    if certificate not in x509.load_pem_x509_certificates(material.entry.ca_pem):
        raise _bad("ca_certificate", f"the directory holds another CA for node {material.address.node}")
    key = keys.load_tls_key(registry.ca_key, phrase)
    if certificate.public_key() != key.public_key():
        raise _bad("ca_key", "it is not the key of the CA's certificate")
    directory_key = keys.load_signing_key(registry.directory_key, phrase)
    _check_delegated(directory_key, material)
    return RegistryKeys(Authority(certificate, key), directory_key, proof_key(directory_key))


def _check_delegated(key: SigningKey, material: NodeMaterial) -> None:
    """Check that the founders delegated the node's list to this key, as far as the copy on disk tells."""
    copy = GoodCopy.read(material.config.directory.cache)
    files = copy.files if copy is not None else {}
    for name, content in files.items():
        if not name.endswith(f".{TARGETS}.json"):
            continue
        try:
            signed: Signed = Metadata.from_bytes(content).signed
        except (RepositoryError, ValueError):
            continue
        delegations = signed.delegations if isinstance(signed, Targets) else None
        role = (delegations.roles or {}).get(node_role(material.address.node)) if delegations else None
        if role is not None and signer_of(key).public_key.keyid not in role.keyids:
            raise _bad("directory_key", "the founders gave the node's list to another key")


def _read_certificate(path: Path) -> x509.Certificate:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_PEM_BYTES)
        # The first, as in a chain; what vouches for it may follow.
        certificate, *_ = x509.load_pem_x509_certificates(content)
    except OSError as error:
        raise _bad("ca_certificate", f"cannot read {path}: {error.strerror}") from error
    except UNREADABLE_CERTIFICATE as error:
        raise _bad("ca_certificate", f"{path} holds no readable certificate") from error
    return certificate


def _bad(where: str, detail: str) -> Refusal:
    return Refusal(ErrorCode.BAD_CONFIG, detail, f"registry.{where}")
