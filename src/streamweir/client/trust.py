"""Which certificates are trusted, alike in both clients."""

from __future__ import annotations

import ssl

from streamweir.errors import ConfigError


def ssl_context(ca_file: str | None) -> ssl.SSLContext:
    """The TLS settings: `ca_file`, else SSL_CERT_FILE and SSL_CERT_DIR as OpenSSL reads them, else the system's store.

    Raises ConfigError where the file cannot be used.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"ca_file {ca_file!r} cannot be read: {error}; give a PEM file of certificates") from None
