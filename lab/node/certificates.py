"""Certificates for a lab's machines, signed by a CA of the lab's own. Loading this takes long."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab.node.etcd import Certificate

__all__ = ["make_certificates"]

LIFETIME = timedelta(days=3650)
SKEW = timedelta(days=1)
"""By which a node's clock may be behind ours."""


def make_certificates(names: Iterable[str]) -> tuple[bytes, Mapping[str, Certificate]]:
    """A new CA's certificate, and one of each of these host names that it has signed."""
    key, name = ec.generate_private_key(ec.SECP256R1()), _name("CA")
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    authority = (
        _builder(name, name, key.public_key(), key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    nodes = {host: _certificate(host, name, key) for host in names}
    return authority.public_bytes(serialization.Encoding.PEM), nodes


def _certificate(host: str, issuer: x509.Name, issuer_key: ec.EllipticCurvePrivateKey) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.DNSName(host), x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    signed = (
        _builder(_name(host), issuer, key.public_key(), issuer_key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage(both), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Certificate(signed.public_bytes(serialization.Encoding.PEM), private)


def _name(unit: str) -> x509.Name:
    """Without a common name: etcd would take it for a user's, and its JSON gateway refuses who has one."""
    parts = {NameOID.ORGANIZATION_NAME: "overlay-lab", NameOID.ORGANIZATIONAL_UNIT_NAME: unit}
    return x509.Name([x509.NameAttribute(kind, text) for kind, text in parts.items()])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, by: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    """What every certificate has. RFC 5280 wants both key identifiers, and Python 3.13 insists on it."""
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by), critical=False)
    )
