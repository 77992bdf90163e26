"""Planted bugs: what may be wrong with the real code, each put in the place of a method that is right.

A mutant is a class or module, the name in it, and what makes the wrong one of the right one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

from msgspec.structs import replace

from streamweir.live.memory import MemoryLogs
from streamweir.resumption import lease as lease_module
from streamweir.resumption import log as log_module
from streamweir.resumption.directory import Directory
from streamweir.resumption.entries import Entries
from streamweir.resumption.lease import Lease
from streamweir.resumption.log import Append, Log
from streamweir.resumption.positions import Producer, Reader

Mutant = tuple[Any, str, Callable[[Any], Any]]


def _fence_removed(right: Any) -> Any:
    return lambda log, append, now: right(log, replace(append, epoch=log.epoch), now)


def _duplicates_kept(right: Any) -> Any:
    return lambda log, append, now: right(log, replace(append, first=log.next), now)


def _hole_kept(right: Any) -> Any:
    return lambda log, append, now: right(log, replace(append, first=min(append.first, log.next)), now)


def _part_kept_twice(right: Any) -> Any:
    def append(log: Log, append: Any, now: float) -> int:
        partly = append.first < log.next < append.first + len(append.entries)
        return right(log, replace(append, first=log.next) if partly else append, now)

    return append


def _hole_acknowledged(right: Any) -> Any:
    def append(log: Log, append: Any, now: float) -> int:
        return log.next if append.first > log.next else right(log, append, now)

    return append


def _end_unrecorded(right: Any) -> Any:
    return lambda log, append, now: right(
        log, replace(append, entries=append.entries[: len(append.entries) - append.last]), now
    )


def _end_forgotten(right: Any) -> Any:
    return lambda log, append, now: right(log, replace(append, last=False), now)


def _behind_the_end(right: Any) -> Any:
    def append(log: Log, append: Any, now: float) -> int:
        log.ended = False
        return right(log, append, now)

    return append


def _beats_unheard(right: Any) -> Any:
    def append(log: Log, append: Any, now: float) -> int:
        before = log.heard_at
        try:
            return right(log, append, now)
        finally:
            if not append.entries:
                log.heard_at = before

    return append


def _same_epoch(right: Any) -> Any:
    def take_over(log: Log, now: float) -> int:
        epoch = right(log, now)
        log.epoch = max(1, epoch - 1)
        return log.epoch

    return take_over


def _end_taken_over(right: Any) -> Any:
    def take_over(log: Log, now: float) -> int:
        log.ended = False
        return right(log, now)

    return take_over


def _trimmed_silently(right: Any) -> Any:
    return lambda log, after, most=1 << 62: right(log, max(after, log.first - 1), most)


def _trimmed_one_too_many(right: Any) -> Any:
    return lambda log, upto, limit: right(log, upto + 1, limit)


def _trimmed_unread(right: Any) -> Any:
    return lambda log, upto, limit: right(log, log.next, limit)


def _pack_off_by_one(right: Any) -> Any:
    return lambda entries, position, most: right(entries, position + (position < entries._tail_first - 1), most)


def _read_one_too_late(right: Any) -> Any:
    def read(log: Log, after: int, most: int = 1 << 62) -> Any:
        return right(log, after, most)[1:] if after > 0 else right(log, after, most)

    return read


def _sent_before_append(_right: Any) -> Any:
    return property(lambda producer: producer.next, lambda producer, value: None)


def _old_answer_heard(right: Any) -> Any:
    def acknowledged(producer: Producer, next: int, *, crowded: bool = False) -> None:
        right(producer, next, crowded=crowded)
        producer.crowded = crowded

    return acknowledged


def _only_beats(_right: Any) -> Any:
    return lambda producer: Append(producer.epoch, producer.next, ())


def _last_again(right: Any) -> Any:
    return lambda producer: producer.unacknowledged[-1] if producer.unacknowledged else right(producer)


def _again_unended(right: Any) -> Any:
    return lambda producer: replace(right(producer), last=False)


def _all_acknowledged(right: Any) -> Any:
    return lambda producer, _next, crowded=False: right(producer, producer.next, crowded=crowded)


def _take_over_from_zero(right: Any) -> Any:
    return lambda producer, epoch, *_: right(producer, epoch, 0)


def _end_not_last(right: Any) -> Any:
    return lambda producer, entries, last=False: right(producer, entries, last=False)


def _reader_repeats(_right: Any) -> Any:
    def take(reader: Reader, first: int, entries: Any) -> Any:
        if first > reader.after + 1:
            return None
        reader.after = max(reader.after, first + len(entries) - 1)
        return entries

    return take


def _reader_skips(right: Any) -> Any:
    def take(reader: Reader, first: int, entries: Any) -> Any:
        reader.after = max(reader.after, first - 1)
        return right(reader, first, entries)

    return take


def _reader_goes_back(right: Any) -> Any:
    def take(reader: Reader, first: int, entries: Any) -> Any:
        new = right(reader, first, entries)
        if new is not None:
            reader.after = first + len(entries) - 1
        return new

    return take


def _always(answer: Any) -> Callable[[Any], Any]:
    return lambda _right: lambda *_, **__: answer


def _any_request(_right: Any) -> Any:
    return lambda directory, owner, key, digest, now: directory._made.get((owner, key))


def _key_before_use(right: Any) -> Any:
    def create(directory: Directory[Any], stream: Any, key: str, digest: bytes, now: float) -> Any:
        made = right(directory, stream, key, digest, now)
        directory._made.pop((stream.owner, key), None)
        return made

    return create


def _over_while_it_runs(_right: Any) -> Any:
    return lambda log, now, window: log.unattended(now, window)


def _over_at_once(_right: Any) -> Any:
    return lambda log, now, window: log.ended


def _bytes_kept_counted(_right: Any) -> Any:
    return lambda logs, log: None


def _lease_from_answer(right: Any) -> Any:
    return lambda lease, asked_at: right(lease, asked_at + 10.0)


MUTANTS: dict[str, Mutant] = {
    "fence removed": (Log, "append", _fence_removed),
    "epoch not raised": (Log, "take_over", _same_epoch),
    "lease ignored by the store": (log_module, "LEASE", lambda _right: 1.0),
    "lease ignored by the producer": (Lease, "held", _always(True)),
    "lease counted from later than the question": (Lease, "answered", _lease_from_answer),
    "silence not noticed": (Log, "silent", lambda right: lambda log, now: log.epoch == 0 and right(log, now)),
    "beats not heard": (Log, "append", _beats_unheard),
    "sent before it is in the log": (Producer, "logged", _sent_before_append),
    "terminal record skipped": (Log, "append", _end_unrecorded),
    "end not kept": (Log, "append", _end_forgotten),
    "end not marked": (Producer, "offer", _end_not_last),
    "entries behind the end": (Log, "append", _behind_the_end),
    "ended stream taken over": (Log, "take_over", _end_taken_over),
    "duplicate kept by the log": (Log, "append", _duplicates_kept),
    "overlap kept twice by the log": (Log, "append", _part_kept_twice),
    "hole kept by the log": (Log, "append", _hole_kept),
    "hole acknowledged": (Log, "append", _hole_acknowledged),
    "nothing sent again": (Producer, "again", _only_beats),
    "only the last append sent again": (Producer, "again", _last_again),
    "end lost where it is sent again": (Producer, "again", _again_unended),
    "taken over at first sight": (lease_module, "DOUBT", lambda _right: 0.0),
    "nothing said in silence": (Lease, "due", _always(False)),
    "all taken for acknowledged": (Producer, "acknowledged", _all_acknowledged),
    "old answer taken for a new one": (Producer, "acknowledged", _old_answer_heard),
    "taken over from the start": (Producer, "__init__", _take_over_from_zero),
    "duplicate taken by a reader": (Reader, "take", _reader_repeats),
    "hole taken by a reader": (Reader, "take", _reader_skips),
    "reader set back by what is old": (Reader, "take", _reader_goes_back),
    "read from one too late": (Log, "read", _read_one_too_late),
    "idempotency forgotten": (Directory, "made", _always(None)),
    "key not remembered": (Directory, "create", _key_before_use),
    "key without its request": (Directory, "made", _any_request),
    "trimmed without an error": (Log, "read", _trimmed_silently),
    "trimmed one too many": (Log, "trim", _trimmed_one_too_many),
    "trimmed unread": (Log, "trim", _trimmed_unread),
    "pack read from one too late": (Entries, "since", _pack_off_by_one),
    "cancelling not told": (Log, "unwanted", lambda _right: Log.unattended),
    "window not told": (Log, "unwanted", lambda _right: lambda log, now, window: log.cancelled),
    "producer never told to wait": (MemoryLogs, "crowded", _always(False)),
    "forgotten while it runs": (Log, "over", _over_while_it_runs),
    "forgotten within its window": (Log, "over", _over_at_once),
    "never forgotten": (Log, "over", _always(False)),
    "memory not given back": (MemoryLogs, "forget", _bytes_kept_counted),
    "readers not counted": (Log, "attend", _always(None)),
}


def planted(name: str) -> AbstractContextManager[Any]:
    """A context in which the bug is there."""
    where, attribute, wrong = MUTANTS[name]
    return patch.object(where, attribute, wrong(getattr(where, attribute, None)), create=True)
