"""C2PA content credentials for recordings: made by AI, of whom, and who agreed. c2pa-python, an extra."""

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from engines.errors import UserError
from engines.install import install_line
from realtime.subject import Manifest
from server.certificate import write_private

MADE_BY_AI = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
SUBJECT = "org.bodydouble.subject"
"""The label under which a file names who is shown, and their consent."""
VALID_DAYS = 3650
PEM = serialization.Encoding.PEM


class ContentCredentials:
    """Signs .mp4 files with a certificate of this machine's own, which is made once and kept.

    Nothing is asked of the network, neither a time stamp nor whether anybody trusts the certificate: verifiers say that
    they do not know who signed, and notice every change to the file.

    Args:
        path: where certificates and key are kept, for their owner only.

    Raises:
        UserError: the library is missing, or the certificate cannot be used.
    """

    def __init__(self, path: Path) -> None:
        try:
            import c2pa
        except ModuleNotFoundError as error:
            raise UserError(f"--sign needs a library: {install_line('sign')}.") from error
        self._c2pa: Any = c2pa
        try:
            if not path.exists():
                write_private(path, _make())
            key, _, chain = path.read_bytes().partition(b"-----BEGIN CERTIFICATE-----")
            info = c2pa.C2paSignerInfo(c2pa.C2paSigningAlg.ES256, b"-----BEGIN CERTIFICATE-----" + chain, key, None)
            self._signer = c2pa.Signer.from_info(info)
        except OSError as error:
            raise UserError(f"{path} cannot be used ({error.strerror}): allow it, or leave out --sign.") from error
        except c2pa.C2paError as error:
            raise UserError(f"{path} holds no certificates with their key: delete it.") from error

    def sign(self, path: Path, subjects: Sequence[Manifest]) -> None:
        """Say in a file that it was made by AI, and of whom; it stays as it is if that fails.

        Raises:
            UserError: it cannot be signed.
        """
        draft = path.with_name(f".{path.stem}.{os.getpid()}.signing{path.suffix}")
        try:
            self._c2pa.Builder(_claims(path.name, subjects)).sign_file(str(path), str(draft), self._signer)
            draft.replace(path)
        except (OSError, self._c2pa.C2paError) as error:
            why = str(error).replace(f"{path.parent}{os.sep}", "")  # the page shows it to all viewers
            raise UserError(f"{path.name} could not be signed ({why}); it is kept as it is.") from error
        finally:
            with suppress(FileNotFoundError):
                draft.unlink()


def _claims(name: str, subjects: Sequence[Manifest]) -> dict[str, Any]:
    version = metadata.version("bodydouble")
    created = {
        "action": "c2pa.created",
        "digitalSourceType": MADE_BY_AI,
        "softwareAgent": {"name": "bodydouble", "version": version},
    }
    shown = [{"name": each.name, "consent": msgspec.to_builtins(each.consent)} for each in subjects]
    return {
        "claim_generator_info": [{"name": "bodydouble", "version": version}],
        "title": name,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [created]}},
            {"label": SUBJECT, "data": {"subjects": shown}},
        ],
    }


def _make() -> bytes:
    """A key, its certificate, and that of the authority that signed it, as PEM; the authority's own key is forgotten.

    Self-signed certificates are not allowed (C2PA 2.1, section 14.5.1).
    """
    own, authority = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    mail = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
    leaf = _builder("bodydouble", own, authority, is_authority=False).add_extension(mail, False)
    root = _builder("bodydouble authority", authority, authority, is_authority=True)
    certificates = [each.sign(authority, hashes.SHA256()).public_bytes(PEM) for each in (leaf, root)]
    return b"".join(
        [own.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()), *certificates]
    )


def _builder(
    name: str, key: ec.EllipticCurvePrivateKey, authority: ec.EllipticCurvePrivateKey, *, is_authority: bool
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    usage = {
        "digital_signature": not is_authority,
        "key_cert_sign": is_authority,
        "crl_sign": is_authority,
        **dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False),
        **dict.fromkeys(("encipher_only", "decipher_only"), False),
    }
    return (
        x509.CertificateBuilder(
            _name("bodydouble authority"), _name(name), key.public_key(), x509.random_serial_number()
        )
        .not_valid_before(now - timedelta(days=1))  # clocks differ
        .not_valid_after(now + timedelta(days=VALID_DAYS))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), True)
        .add_extension(x509.KeyUsage(**usage), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), False)
    )


def _name(common: str) -> x509.Name:
    parts = ((NameOID.ORGANIZATION_NAME, "bodydouble"), (NameOID.COMMON_NAME, common))
    return x509.Name([x509.NameAttribute(kind, text) for kind, text in parts])
