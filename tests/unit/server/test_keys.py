"""Keys and tickets, by their hashes."""

import pytest

from streamweir.server import tickets
from streamweir.server.keys import Keyring, Who, digest_of
from streamweir.server.tickets import Ticket, Tickets

ONE, OTHER = Who("one"), Who("other")


def test_a_key_is_known_by_the_whole_of_its_hash() -> None:
    digest = digest_of("key")
    near = [digest[:at] + ("1" if digest[at] == "0" else "0") + digest[at + 1 :] for at in range(len(digest))]
    keys = Keyring([(text, OTHER) for text in near])
    assert keys.who("key") is None
    for where in (0, 32, 64):
        assert Keyring([(text, OTHER) for text in near[:where]] + [(digest, ONE)]).who("key") is ONE


def test_a_key_of_other_bytes_is_unknown() -> None:
    # as a header's bytes come in that are no UTF-8
    assert Keyring([(digest_of("key"), ONE)]).who("key\udcff") is None


def test_a_ticket_is_good_again_only_for_what_it_was_used_for() -> None:
    kept = Tickets()
    assert kept.give("t", Ticket(ONE, "https://a.example", 10.0), 0.0)
    assert kept.use("t", "https://a.example", 1.0, "key") is ONE
    assert kept.use("t", "https://a.example", 9.0, "key") is ONE
    for key in (None, "other", ""):
        assert kept.use("t", "https://a.example", 2.0, key) is None
    assert kept.use("t", "https://b.example", 2.0, "key") is None
    assert kept.use("t", "https://a.example", 10.0, "key") is None
    # without a key it is used up, whatever comes then
    assert kept.give("u", Ticket(ONE, None, 10.0), 0.0)
    assert (kept.use("u", None, 1.0), kept.use("u", None, 1.0, "key")) == (ONE, None)


def test_tickets_that_wait_are_bounded_and_expired_ones_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tickets, "MAX_OPEN", 3)
    kept = Tickets()
    for number in range(3):
        assert kept.give(f"t{number}", Ticket(ONE, None, 10.0 + number), 0.0)
    assert not kept.give("more", Ticket(ONE, None, 99.0), 9.0)
    assert kept.use("more", None, 9.0) is None
    assert kept.give("more", Ticket(ONE, None, 99.0), 11.0)
    assert len(kept) == 2
    assert (kept.use("t2", None, 11.0), kept.use("more", None, 11.0)) == (ONE, ONE)
    assert not len(kept)
