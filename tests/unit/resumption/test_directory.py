"""Which streams there are: a request makes one, however often it is sent."""

import pytest

from streamweir.resumption.directory import REMEMBERED, Directory, Reused


class Stream:
    chat = None

    def __init__(self, id: str, owner: str | None = "web") -> None:
        self.id, self.owner, self.capability = id, owner, f"cap-{id}"


def test_a_request_makes_one_stream() -> None:
    directory: Directory[Stream] = Directory()
    first = directory.create(Stream("1"), "key", b"body", 0.0)
    again = directory.create(Stream("2"), "key", b"body", 1.0)
    assert again == first
    assert again.id == "1"
    assert len(directory) == 1


def test_a_message_that_comes_twice_keeps_the_stream_that_is_there() -> None:
    directory: Directory[Stream] = Directory()
    stream = Stream("1")
    directory.create(stream, "1", b"", 0.0)
    directory.create(Stream("1"), "1", b"", 1.0)
    assert directory.find("1", "web", None) is stream


def test_a_request_that_comes_late_does_not_bring_a_stream_back() -> None:
    directory: Directory[Stream] = Directory()
    stream = Stream("1")
    directory.create(stream, "1", b"", 0.0)
    directory.forget(stream)
    assert directory.create(Stream("1"), "1", b"", 60.0).id == "1"
    assert len(directory) == 0


def test_another_request_does_not_get_what_a_key_has_made() -> None:
    directory: Directory[Stream] = Directory()
    directory.create(Stream("1"), "key", b"body", 0.0)
    with pytest.raises(Reused):
        directory.create(Stream("2"), "key", b"another", 1.0)
    assert directory.create(Stream("3", "mobile"), "key", b"another", 1.0).id == "3"
    assert directory.create(Stream("4"), "key", b"another", REMEMBERED + 1.0).id == "4"
