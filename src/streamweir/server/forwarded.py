"""Who is at the other end, where trusted proxies stand between. No input or output."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Final

from multidict import MultiMapping

from streamweir.errors import ConfigError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


PORT: Final = re.compile(r"\A(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::[0-9]+)?\Z")
"""An address as a proxy may write it, with a port or in brackets. A bare one of the sixth version is all address."""


def networks_of(texts: Sequence[str], where: str) -> tuple[Network, ...]:
    """The configured proxies. Raises ConfigError."""
    out: list[Network] = []
    for text in texts:
        try:
            out.append(ipaddress.ip_network(text))
        except ValueError as error:
            raise ConfigError(
                f'{where}: {text!r} is no address or network: {error}; give such as "10.0.0.0/8"'
            ) from None
    return tuple(out)


def address_of(peer: str, headers: MultiMapping[str], trusted: tuple[Network, ...]) -> str:
    """A client's address; forwarded headers count only where a trusted proxy wrote them."""
    if not _trusted(peer, trusted):
        return peer
    address = peer
    for hop in reversed(",".join(headers.getall("X-Forwarded-For", ())).split(",")):
        # from the nearest on: the first that no proxy of ours is said by one, the rest by anybody
        if not hop.strip():
            break
        address = PORT.sub(r"\1\2", hop.strip())
        if not _trusted(address, trusted):
            break
    return address


def origin_used(peer: str, scheme: str, host: str, headers: MultiMapping[str], trusted: tuple[Network, ...]) -> str:
    """The origin by which a client reached us, in the same way."""
    if _trusted(peer, trusted):
        scheme = headers.get("X-Forwarded-Proto", scheme).partition(",")[0].strip().lower()
        host = headers.get("X-Forwarded-Host", host).partition(",")[0].strip().lower()
    return f"{scheme}://{host}"


def _trusted(address: str, trusted: tuple[Network, ...]) -> bool:
    if not trusted:
        return False
    try:
        one = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(one, "ipv4_mapped", None) or one
    return any(mapped in network for network in trusted)
