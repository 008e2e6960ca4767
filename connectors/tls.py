"""From the file's `tls:` to what clients take."""

from __future__ import annotations

import ssl

from penstock.operators.error import Unreachable
from penstock.operators.tls import TlsSettings


def tls_context(tls: TlsSettings, where: str) -> ssl.SSLContext:
    """`where` is the setting's path in the file. Raises Unreachable for files that cannot be read or are no certificates."""
    try:
        context = ssl.create_default_context(cafile=tls.ca)
        if tls.cert is not None:
            context.load_cert_chain(tls.cert, tls.key)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(name for name in (tls.ca, tls.cert, tls.key) if name)
        raise Unreachable(f"cannot use {files} ({error})", where=where, remedy="PEM files are expected") from error
    return context
