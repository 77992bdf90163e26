"""To which addresses a request may go that somebody else chose the name of. Pure: names are resolved elsewhere.

What may be reached is the public internet: IANA's registries of special-purpose addresses say what is not.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

LOOPBACK: Final = "loopback"

BARRED_4: Final = tuple(
    (IPv4Network(network), what)
    for network, what in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared by a carrier (CGNAT)"),
        ("127.0.0.0/8", LOOPBACK),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "for documentation"),
        ("192.88.99.0/24", "a 6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "for benchmarks"),
        ("198.51.100.0/24", "for documentation"),
        ("203.0.113.0/24", "for documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)

BARRED_6: Final = tuple(
    (IPv6Network(network), what)
    for network, what in (
        ("::1/128", LOOPBACK),
        ("::/128", "unspecified"),
        ("::ffff:0:0/96", "an IPv4 address inside IPv6 (mapped)"),
        ("::/96", "an IPv4 address inside IPv6 (compatible)"),
        ("64:ff9b::/96", "an IPv4 address inside IPv6 (NAT64)"),
        ("64:ff9b:1::/48", "an IPv4 address inside IPv6 (NAT64)"),
        ("2001::/32", "an IPv4 address inside IPv6 (Teredo)"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "for documentation"),
        ("2002::/16", "an IPv4 address inside IPv6 (6to4)"),
        ("3fff::/20", "for documentation"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)

PUBLIC_6: Final = IPv6Network("2000::/3")
"""All of IPv6 that is given out for hosts of the internet."""


def barred(address: str, *, allow_loopback: bool = False) -> str | None:
    """Why nothing is sent to this address, as a resolver writes addresses, or None where something may be."""
    if "%" in address:
        return "of one link (it has a zone)"
    try:
        found = ip_address(address)
    except ValueError:
        return "not an address"
    what = _special(found)
    return None if allow_loopback and what == LOOPBACK else what


def _special(address: IPv4Address | IPv6Address) -> str | None:
    if isinstance(address, IPv4Address):
        return next((what for network, what in BARRED_4 if address in network), None)
    what = next((what for network, what in BARRED_6 if address in network), None)
    return what or (None if address in PUBLIC_6 else "reserved")


def barred_host(host: str, *, allow_loopback: bool = False) -> str | None:
    """Why a URL's host cannot be used, or None: it is a name that is to be resolved, or an address that may be reached.

    An address must be in its usual form: what reads others, `0x7f.1` or `127.1`, reads them in ways of its own.
    """
    if not host:
        return "missing"
    if not host.isascii():
        return "not ASCII: write it as it is in the DNS, with `xn--`"
    if "%" in host:
        return "of one link (it has a zone)"
    if ":" in host:
        return barred(host, allow_loopback=allow_loopback)
    labels = host.removesuffix(".").split(".")
    if not all(labels):
        return "not a name: a part of it is empty"
    if not _numeric(labels[-1]):
        return None
    try:
        IPv4Address(host)
    except ValueError:
        return "an address in an odd form: write four decimal numbers, as in 192.0.2.1"
    return barred(host, allow_loopback=allow_loopback)


def _numeric(label: str) -> bool:
    """Whether a name that ends with this is read as an address: no domain of the highest level is a number."""
    number = label.lower()
    return number.isdigit() or (number.startswith("0x") and all(one in "0123456789abcdef" for one in number[2:]))
