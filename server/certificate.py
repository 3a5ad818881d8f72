"""A certificate of this machine's own, made once and kept, so that browsers may be asked for their camera."""

import os
import ssl
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from server.address import is_ip_address

VALID_DAYS = 800
"""Some browsers take none that is valid for more than 825."""


class CertificateError(OSError):
    """The certificate cannot be used or kept; the message is one sentence that says what to do."""


def tls_context(path: Path, names: Iterable[str]) -> tuple[ssl.SSLContext, str]:
    """What a server needs for https, and the SHA-256 fingerprint that browsers show of its certificate.

    Args:
        path: where certificate and key are kept, for their owner only; both are made if they are missing or too old.
        names: host names and addresses that a new certificate is for.

    Raises:
        CertificateError: what is there is no certificate, or nothing can be written.
    """
    try:
        if not path.exists() or _expired(path):
            write_private(path, _make(sorted(set(names))))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(path)
        digest = x509.load_pem_x509_certificate(path.read_bytes()).fingerprint(hashes.SHA256())
    except (ValueError, ssl.SSLError) as problem:
        raise CertificateError(
            f"{path} holds no certificate with its key: delete it, and a new one is made."
        ) from problem
    except OSError as problem:
        raise CertificateError(
            f"{path} cannot be used ({problem.strerror}): allow it, or leave out --tls."
        ) from problem
    return context, digest.hex(":").upper()


def _expired(path: Path) -> bool:
    return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc < datetime.now(UTC)


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _make(names: list[str]) -> bytes:
    """A new key and a certificate that it signed itself, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bodydouble")])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # clocks differ
        .not_valid_after(now + timedelta(days=VALID_DAYS))
        .add_extension(
            x509.SubjectAlternativeName([_general_name(each) for each in names if each and each.isascii()]), False
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
    )
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    return pem + builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _general_name(name: str) -> x509.GeneralName:
    return x509.IPAddress(ip_address(name)) if is_ip_address(name) else x509.DNSName(name)
