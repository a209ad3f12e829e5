"""What a registry needs before it starts, found wrong before anybody enrols."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from nacl.signing import SigningKey

from certs.pki import DevelopmentPki
from gateway import keys, locked
from gateway.config import Registry
from gateway.errors import ErrorCode, Refusal
from gateway.hidden import Passphrase
from gateway.identity import Address
from gateway.material import NodeMaterial
from gateway.registry.certify import Authority
from gateway.registry.keys import load_registry_keys
from tests import office, registry
from tests.world import NOW


@pytest.fixture
async def made(tmp_path: Path) -> tuple[Registry, NodeMaterial]:
    """A node with a directory that founders signed, and the right keys."""
    directory = registry.make(tmp_path)
    directory.load()  # leaves its copy in the cache
    ca = office.pki().node_ca("ee")
    (tmp_path / "ca.pem").write_bytes(ca.chain_pem)
    keys.save_tls_key(tmp_path / "ca.key", ca.key)
    keys.save_signing_key(tmp_path / "directory.key", registry.key("ee"))
    paths = {name.replace(".", "_"): tmp_path / name for name in ("ca.key", "directory.key")}
    settings = office.config(tmp_path, ca_certificate=tmp_path / "ca.pem", **paths)
    assert settings.registry is not None
    async with office.office(tmp_path) as bench:
        return settings.registry, office.node_material(settings, bench.trusted)


def test_right_keys_are_loaded(made: tuple[Registry, NodeMaterial]) -> None:
    loaded = load_registry_keys(*made, None)
    assert loaded.authority.certificate == office.pki().node_ca("ee").certificate
    assert loaded.directory == registry.key("ee")


def test_keys_under_a_passphrase_are_loaded(made: tuple[Registry, NodeMaterial]) -> None:
    phrase = Passphrase("correct horse battery")
    for path in (made[0].ca_key, made[0].directory_key):
        keys.encrypt(path, phrase, locked.LEAST)
    assert load_registry_keys(*made, phrase).directory == registry.key("ee")
    with pytest.raises(Refusal) as caught:
        load_registry_keys(*made, None)
    assert caught.value.code is ErrorCode.KEY_FILE


def other_ca(settings: Registry) -> None:
    settings.ca_certificate.write_bytes(DevelopmentPki(office.FEDERATION, NOW).node_ca("ee").pem)


def other_ca_key(settings: Registry) -> None:
    settings.ca_key.unlink()
    keys.save_tls_key(settings.ca_key, ec.generate_private_key(ec.SECP256R1()))


def other_directory_key(settings: Registry) -> None:
    settings.directory_key.unlink()
    keys.save_signing_key(settings.directory_key, SigningKey.generate())


def no_certificate(settings: Registry) -> None:
    settings.ca_certificate.write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")


def no_file(settings: Registry) -> None:
    settings.ca_certificate.unlink()


@pytest.mark.parametrize(
    ("spoil", "setting"),
    [
        (other_ca, "ca_certificate"),
        (no_certificate, "ca_certificate"),
        (no_file, "ca_certificate"),
        (other_ca_key, "ca_key"),
        (other_directory_key, "directory_key"),
    ],
)
def test_key_that_does_not_fit_the_directory_is_refused_by_its_setting(
    made: tuple[Registry, NodeMaterial], spoil: Callable[[Registry], None], setting: str
) -> None:
    spoil(made[0])
    with pytest.raises(Refusal) as caught:
        load_registry_keys(*made, None)
    assert (caught.value.code, caught.value.field) == (ErrorCode.BAD_CONFIG, f"registry.{setting}")


def test_ca_that_names_no_key_of_its_own_is_named_by_its_key() -> None:
    ca, key = office.pki().node_ca("ee"), ec.generate_private_key(ec.SECP256R1())
    plain = (
        x509.CertificateBuilder()
        .subject_name(ca.certificate.subject)
        .issuer_name(ca.certificate.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .sign(key, SHA256())
    )
    issued = Authority(plain, key).issue(
        office.tls_key("newcomer").public_key(), Address.parse(office.NEWCOMER), office.FEDERATION, NOW, timedelta(1)
    )
    issued.verify_directly_issued_by(plain)
    named = issued.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert named == x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
