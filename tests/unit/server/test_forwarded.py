"""Who is at the other end: what proxies wrote, and how far it is believed."""

import pytest
from multidict import CIMultiDict

from streamweir.server.forwarded import address_of, networks_of, origin_used

TRUSTED = networks_of(["10.0.0.0/8", "2001:db8:aa::/48"], "server.trusted_proxies")
OURS = "10.0.0.1"


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        # nobody says more: the peer
        ([], OURS),
        ([""], OURS),
        (["203.0.113.9"], "203.0.113.9"),
        # the nearest hop that is none of ours; what stands before it may be made up
        (["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
        (["198.51.100.1, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        (["198.51.100.1,203.0.113.9,10.0.0.3,\t10.0.0.2 "], "203.0.113.9"),
        (["10.0.0.9, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        # all are ours: the farthest of them
        (["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        # several lines are one list
        (["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
        (["203.0.113.9", "10.0.0.2"], "203.0.113.9"),
        (["198.51.100.1, 203.0.113.9", "10.0.0.3, 10.0.0.2"], "203.0.113.9"),
        # a hop without a name ends the list
        (["203.0.113.9, , 10.0.0.2"], "10.0.0.2"),
        (["203.0.113.9, unknown, 10.0.0.2"], "unknown"),
        # ports, brackets, and addresses of the sixth version without either
        (["203.0.113.9:4711"], "203.0.113.9"),
        (["203.0.113.9, 10.0.0.2:4711"], "203.0.113.9"),
        (["[2001:db8::9]"], "2001:db8::9"),
        (["[2001:db8::9]:4711"], "2001:db8::9"),
        (["2001:db8::9"], "2001:db8::9"),
        (["2001:db8:1:2:3:4:5:6"], "2001:db8:1:2:3:4:5:6"),
        (["203.0.113.9, 2001:db8:aa:1:2:3:4:5, [2001:db8:aa::1]:80"], "203.0.113.9"),
        (["203.0.113.9, ::ffff:10.0.0.2"], "203.0.113.9"),
    ],
)
def test_the_nearest_hop_that_is_not_ours(lines: list[str], address: str) -> None:
    headers = CIMultiDict([("X-Forwarded-For", line) for line in lines])
    assert address_of(OURS, headers, TRUSTED) == address


@pytest.mark.parametrize("peer", ["203.0.113.1", "unix", "::1"])
def test_others_are_not_believed(peer: str) -> None:
    headers = CIMultiDict({"X-Forwarded-For": "198.51.100.1", "X-Forwarded-Host": "evil", "X-Forwarded-Proto": "https"})
    assert address_of(peer, headers, TRUSTED) == peer
    assert origin_used(peer, "http", "gate:8787", headers, TRUSTED) == "http://gate:8787"


def test_the_origin_is_the_first_that_was_written() -> None:
    headers = CIMultiDict({"X-Forwarded-Host": "Gate.Example, inner", "X-Forwarded-Proto": "HTTPS, http"})
    assert origin_used(OURS, "http", "inner:8787", headers, TRUSTED) == "https://gate.example"
