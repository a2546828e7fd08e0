"""Certificates for tests: a throw-away authority, and what it signs."""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """The PEM files of a certificate and of its key."""

    cert: Path
    key: Path


class Authority:
    """Signs for names and addresses; its own certificate is `ca`."""

    def __init__(self, folder: Path, name: str = "throw-away") -> None:
        self._folder = folder
        self._name = _name_of(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(self._name, self._name, self._key.public_key(), DAY)
        builder = builder.add_extension(x509.BasicConstraints(True, None), True)
        builder = builder.add_extension(
            x509.KeyUsage(False, False, False, False, False, True, True, False, False), True
        )
        identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        certificate = builder.add_extension(identifier, False).sign(self._key, hashes.SHA256())
        self.ca = folder / f"{name}-ca.pem"
        self.ca.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, *names: str, age: datetime.timedelta = DAY) -> Pair:
        """A certificate that ends a day after it began, `age` ago less a day from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name_of(names[0]), self._name, key.public_key(), age)
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_general_name(name) for name in names]), False
        )
        by = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = builder.add_extension(by, False).sign(self._key, hashes.SHA256())
        base = self._folder / f"{names[0]}-{certificate.serial_number}"
        pair = Pair(base.with_suffix(".pem"), base.with_suffix(".key"))
        pair.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        pair.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return pair


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, age: datetime.timedelta
) -> x509.CertificateBuilder:
    began = datetime.datetime.now(datetime.UTC) - age
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(began)
        .not_valid_after(began + 2 * DAY)
    )


def _name_of(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
