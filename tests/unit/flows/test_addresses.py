"""Where webhooks may go: every special range by its first and last address, and every spelling of a host."""

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamweir.flows.addresses import BARRED_4, BARRED_6, barred, barred_host

PUBLIC = (
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "192.0.1.0",
    "223.255.255.255",
    "2606:4700::1111",
    "2001:4860:4860::8888",
)

BAD = {
    "unspecified": ("0.0.0.0", "0.255.255.255", "::"),
    "private": ("10.0.0.0", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "fc00::1", "fdff::1"),
    "CGNAT": ("100.64.0.0", "100.127.255.255"),
    "loopback": ("127.0.0.1", "127.255.255.254", "::1"),
    "link-local": ("169.254.169.254", "fe80::1", "febf::1"),
    "reserved": ("192.0.0.8", "240.0.0.1", "255.255.255.255", "2001:1::1", "4000::1", "100::1", "5f00::1"),
    "documentation": ("192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"),
    "benchmarks": ("198.18.0.1", "198.19.255.255"),
    "multicast": ("224.0.0.1", "239.255.255.255", "ff02::1"),
    "6to4": ("192.88.99.1", "2002:7f00:1::", "2002:808:808::1"),
    "mapped": ("::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:7f00:1"),
    "compatible": ("::127.0.0.1", "::808:808"),
    "NAT64": ("64:ff9b::7f00:1", "64:ff9b::8.8.8.8", "64:ff9b:1::1"),
    "Teredo": ("2001:0:808:808::1",),
    "site-local": ("fec0::1",),
    "zone": ("fe80::1%eth0", "2606:4700::1%1"),
    "not an address": (
        "",
        "example.com",
        "127.1",
        "0x7f000001",
        "017700000001",
        "2130706433",
        "127.0.0.1.",
        " 1.1.1.1",
    ),
}


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_reached(address: str) -> None:
    assert barred(address) is None
    assert barred_host(address) is None


@pytest.mark.parametrize(("why", "address"), [(why, one) for why, all_ in BAD.items() for one in all_])
def test_special_addresses_may_not(why: str, address: str) -> None:
    assert why in (barred(address) or "")


def test_ranges_end_where_they_end() -> None:
    for network, what in BARRED_4:
        assert barred(str(network[0])) == barred(str(network[-1])) == what
    for network, what in BARRED_6:
        assert barred(str(network[-1])) == what


def test_loopback_is_all_that_allowing_it_allows() -> None:
    assert [one for all_ in BAD.values() for one in all_ if barred(one, allow_loopback=True) is None] == list(
        BAD["loopback"]
    )


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_what_may_be_reached_python_calls_global(address: IPv4Address | IPv6Address) -> None:
    if barred(str(address)) is None:
        assert address.is_global
        assert not address.is_multicast
        assert not address.is_reserved


@given(st.ip_addresses(v=4))
def test_no_address_of_ipv4_comes_through_ipv6(address: IPv4Address) -> None:
    number = int(address)
    inside = [IPv6Address(number | prefix << 32) for prefix in (0, 0xFFFF, 0x64FF9B << 64)]
    inside += [IPv6Address(0x2002 << 112 | number << 80), IPv6Address(0x20010000 << 96 | number)]
    assert all(barred(str(one)) for one in inside)


@pytest.mark.parametrize(
    "host",
    [
        "0x7f.1", "0X7F.1", "0x7f000001", "017700000001", "0177.0.0.1", "127.1", "127.0.1", "2130706433", "127.0.0.1.", "0",
        "0x", "1.1.1.0x1", "1.2.3.4.5", "08.8.8.8", "1.1.1.256", "example.1", "example.0x1", "[::1]", "::1%lo", "fe80::1%25eth0",
        "::ffff:127.0.0.1", "127。0。0。1", "①②⑦.0.0.1", "bücher.example", "", ".", "a..b", ".example.com",
    ],
)  # fmt: skip
def test_hosts_in_odd_forms_are_refused(host: str) -> None:
    assert barred_host(host, allow_loopback=False)


@pytest.mark.parametrize(
    "host", ["example.com", "example.com.", "xn--bcher-kva.example", "0x7f.example", "1.example", "localhost"]
)
def test_names_are_to_be_resolved(host: str) -> None:
    assert barred_host(host) is None


@given(st.text("0123456789abcdefx.", min_size=1, max_size=20))
def test_no_host_that_the_system_reads_as_an_address_passes_for_a_name(host: str) -> None:
    try:
        read = socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return
    if barred_host(host) is None:
        assert host == read
        assert barred(read) is None


def test_the_public_part_of_ipv6_is_what_is_given_out() -> None:
    assert ip_address("2000::1") in IPv6Network("2000::/3")
    assert barred("2000::1") is None
    assert barred("1fff::1") == "reserved"
