"""The node's own certificate, renewed by the node's own CA.

In: what the node runs with, its CA, the file of its settings. Out: a new key and certificate beside the old ones, named
by the settings; a running node takes them from there, and the old ones stay. Refuses as a start would: settings never
name what does not fit. A crash before the settings name the new files leaves them as waste.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from certs import profiles
from gateway import keys, material, private_files, settings_file
from gateway.config import Registry
from gateway.errors import GatewayError
from gateway.hidden import Passphrase
from gateway.material import NodeMaterial
from gateway.registry.certify import Authority
from gateway.tls import is_in_last_third


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """What is new.

    Args:
        file: the certificate and its CA's.
        key: the file of its key.
        expires: when it ends.
    """

    file: Path
    key: Path
    expires: datetime


def is_due(held: NodeMaterial, authority: Authority, now: datetime) -> bool:
    """Whether the node's certificate should be renewed now, and a new one would last longer than it does."""
    longer = authority.certificate.not_valid_after_utc > held.expires
    return longer and is_in_last_third(held.holdings.certificate.leaf, now)


def renew(
    path: Path, held: NodeMaterial, registry: Registry, authority: Authority, phrase: Passphrase | None, now: datetime
) -> OwnCertificate:
    """Issue a new certificate for a new key, and have the settings name both.

    Args:
        path: the settings; the caller holds them, see `settings_file.alone`.
        held: what they name now, and the directory.
        registry: says how long the certificate is to be valid.
        authority: the node's CA.
        phrase: the key file is put under it; None leaves it plain.
        now: the time.

    Raises:
        Refusal: KEY_FILE or BAD_CONFIG, a file cannot be written; or as `material.fit_node`.
        Failure: UNAVAILABLE, the CA's certificate is not valid now; INTERNAL, the settings cannot be changed.
    """
    key = ec.generate_private_key(profiles.CURVE)
    lifetime = timedelta(days=registry.certificate_days)
    federation = held.directory.federation
    issued = authority.issue(key.public_key(), held.address, federation, now, lifetime, profiles.NODE)
    key_file = settings_file.new_file(held.config.tls_key, "tls", ".key", now)
    certificate = key_file.with_suffix(".pem")
    names = {
        "certificate": settings_file.name_of(path, certificate),
        "tls_key": settings_file.name_of(path, key_file),
    }
    keys.save_tls_key(key_file, key, phrase)
    try:
        private_files.create(certificate, issued.public_bytes(Encoding.PEM) + authority.pem)
        # As the next start will: what would be refused there must not be named.
        chosen = held.config.model_copy(update={"certificate": certificate, "tls_key": key_file})
        material.fit_node(chosen, material.hold(chosen), held.trusted, now)
        settings_file.edit(path, lambda _: names)
    except GatewayError:
        settings_file.discard(path, certificate, key_file)
        raise
    return OwnCertificate(certificate, key_file, issued.not_valid_after_utc)
