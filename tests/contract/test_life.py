"""What a server is not started or reloaded with, and says so."""

from pathlib import Path

import aiohttp
import pytest
from cryptography.hazmat.primitives import serialization

from streamweir.config import load_text
from streamweir.errors import ConfigError
from streamweir.server.life import tls_context
from streamweir.simulator.app import RunningSimulator
from tests.networks import make_ca
from tests.proxies import body_of, profile, proxy_with, upstream


def pem_files(folder: Path) -> tuple[Path, Path]:
    """A certificate and its key."""
    make_ca(folder, "localhost")
    both = (folder / "server.pem").read_bytes()
    at = both.index(b"-----BEGIN CERTIFICATE")
    cert, key = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(both[at:])
    key.write_bytes(both[:at])
    return cert, key


async def test_a_reload_is_refused_for_what_belongs_to_the_socket(simulator: RunningSimulator, tmp_path: Path) -> None:
    base = upstream(simulator) + profile("p", "sim:none?rate=0")
    server = await proxy_with(base + "[server]\nbody_limit = 1000\n")
    cert, key = pem_files(tmp_path)
    more = profile("q", "sim:none?rate=0")
    for text, message in (
        ("body_limit = 2000", "server.body_limit cannot be changed by a reload: restart"),
        ("", "server.body_limit cannot be changed by a reload: restart"),
        (f'body_limit = 1000\ntls_cert = "{cert}"\ntls_key = "{key}"', "TLS cannot be turned on or off by a reload"),
    ):
        with pytest.raises(ConfigError, match=message):
            server.reload(load_text(f"{base}{more}[server]\n{text}\n"), {})
    async with aiohttp.ClientSession(server.url) as http:
        # all stayed as it was
        for name, status in (("p", 200), ("q", 404)):
            async with http.post("/api/llm/stream", json=body_of("sse", name)) as answer:
                assert answer.status == status
        server.reload(load_text(f"{base}{more}[server]\nbody_limit = 1000\n"), {})
        async with http.post("/api/llm/stream", json=body_of("sse", "q")) as answer:
            assert answer.status == 200
    await server.stop()


async def test_a_reload_with_a_certificate_that_cannot_be_used_changes_nothing(
    simulator: RunningSimulator, tmp_path: Path
) -> None:
    cert, key = pem_files(tmp_path)
    base = upstream(simulator) + profile("p", "sim:none?rate=0")
    files = f'[server]\ntls_cert = "{cert}"\ntls_key = "{key}"\n'
    server = await proxy_with(base + files)
    before = server.shared.serving
    cert.write_text("no certificate")
    with pytest.raises(ConfigError, match="give PEM files that belong together"):
        server.reload(load_text(base + profile("q", "sim:none") + files), {})
    assert server.shared.serving is before
    await server.stop()


def test_a_certificate_that_cannot_be_used(tmp_path: Path) -> None:
    cert, key = pem_files(tmp_path)
    (tmp_path / "other").mkdir()
    _, other = pem_files(tmp_path / "other")
    locked = tmp_path / "locked.pem"
    locked.write_bytes(
        serialization.load_pem_private_key(key.read_bytes(), None).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    assert tls_context(str(cert), str(key)) is not None
    for one, two, message in (
        (cert, locked, "server.tls_key is encrypted, .* give it decrypted"),
        (cert, other, "server.tls_cert and tls_key: .* give PEM files that belong together"),
        (cert, tmp_path / "none.pem", "server.tls_key: .*none.pem cannot be read"),
        (tmp_path / "none.pem", key, "server.tls_cert: .*none.pem cannot be read"),
    ):
        with pytest.raises(ConfigError, match=message):
            tls_context(str(one), str(two))
