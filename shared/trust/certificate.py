"""HTTPS: a server's own certificate, and whose certificates a client trusts."""

from __future__ import annotations

import argparse
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509


def certified(certificate: Path, key: Path) -> ssl.SSLContext:
    """What a server needs for HTTPS, from files in PEM. Raises OSError with a sentence."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key, password="")  # without one, OpenSSL would ask the terminal
    except ssl.SSLError as error:
        reason = error.reason or "not in PEM, or the key has a password"
        raise OSError(f"{certificate} and {key} are no certificate and its private key ({reason})") from error
    except OSError as error:
        raise OSError(f"cannot read {certificate} and {key}: {error.strerror}") from error
    return context


def named_host(certificate: Path, own: str) -> str:
    """The host that a link to a server with this certificate must name: `own` where the certificate covers it, or else
    the first that it covers. Raises OSError with a sentence."""
    try:
        names = x509.load_pem_x509_certificate(certificate.read_bytes()).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except OSError as error:
        raise OSError(f"cannot read {certificate}: {error.strerror}") from error
    except ValueError as error:
        raise OSError(f"{certificate} is no certificate in PEM") from error
    except x509.ExtensionNotFound as error:
        raise OSError(f"{certificate} names no host that it is for: make one with a subjectAltName") from error
    hosts = [name for name in names.value.get_values_for_type(x509.DNSName) if "*" not in name]
    hosts += [str(address) for address in names.value.get_values_for_type(x509.IPAddress)]
    return own if own in hosts or not hosts else hosts[0]


def trusting(authority: Path | None) -> ssl.SSLContext | None:
    """What a client checks certificates with: those that the system trusts (None), or one more.

    Raises OSError with a sentence if the file is no certificate.
    """
    if authority is None:
        return None
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(authority)
    except ssl.SSLError as error:
        raise OSError(f"{authority} is no certificate in PEM: give the authority's certificate to --ca") from error
    except OSError as error:
        raise OSError(f"cannot read {authority}: {error.strerror}") from error
    return context


def add_server_options(parser: argparse.ArgumentParser) -> None:
    """`--certificate` and `--key`; `https_settings` looks at them."""
    parser.add_argument(
        "--certificate", type=Path, metavar="FILE", help="certificate chain in PEM: serve HTTPS (with --key)"
    )
    parser.add_argument("--key", type=Path, metavar="FILE", help="private key of the certificate, in PEM")


def add_trust_option(parser: argparse.ArgumentParser) -> None:
    """`--ca`."""
    parser.add_argument(
        "--ca",
        type=Path,
        metavar="FILE",
        help="trust this certificate (PEM) too, for an https link to a server whose certificate the system does not",
    )


@dataclass(frozen=True)
class Https:
    """How a program serves HTTPS, and whom it trusts, as asked for on the command line."""

    certificate: Path | None = None
    key: Path | None = None
    authority: Path | None = None

    def serving(self) -> ssl.SSLContext | None:
        """None: plain HTTP. Raises OSError with a sentence."""
        if self.certificate is None or self.key is None:
            return None
        return certified(self.certificate, self.key)

    def named(self, own: str) -> str | None:
        """The host that links to this machine's server name; None: whichever they would. Raises OSError."""
        return None if self.certificate is None else named_host(self.certificate, own)

    def trusting(self) -> ssl.SSLContext | None:
        """See `trusting`."""
        return trusting(self.authority)


def https_settings(parser: argparse.ArgumentParser, args: argparse.Namespace) -> Https:
    """From the command line, which ends the program if the options do not fit each other."""
    certificate, key = getattr(args, "certificate", None), getattr(args, "key", None)
    if (certificate is None) != (key is None):
        parser.error("--certificate and --key go together")
    return Https(certificate, key, getattr(args, "ca", None))


def is_address(host: str) -> bool:
    """Whether a host is an IP address, not a name."""
    try:
        ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return False
    return True
