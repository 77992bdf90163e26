"""The one timer of an event loop: a mistake of one member is its own."""

import asyncio
import time
import weakref

from streamweir.client.aio.wheel import Wheel


class Member:
    def __init__(self, every: float, fails: bool = False) -> None:
        self.at, self.every, self.fails, self.ticks = time.monotonic() + every, every, fails, 0

    def due(self, now: float) -> float:
        return self.at

    def tick(self, now: float) -> None:
        if now < self.at:
            return
        self.at = now + self.every
        self.ticks += 1
        if self.fails:
            raise RuntimeError("a mistake")


async def test_a_member_that_raises_stops_no_other() -> None:
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context["message"]))
    wheel, bad, good = Wheel(), Member(0.05, fails=True), Member(0.05)
    wheel.add(bad)
    wheel.add(good)
    await asyncio.sleep(0.5)
    assert (bad.ticks, good.ticks >= 3) == (1, True)
    assert told == ["a visit of the wheel failed"]
    wheel.remove(good)


async def test_a_member_that_is_due_sooner_is_added_again() -> None:
    wheel, member = Wheel(), Member(60.0)
    wheel.add(member)
    member.at = time.monotonic() + 0.1
    wheel.add(member)
    await asyncio.sleep(0.3)
    assert member.ticks == 1
    wheel.remove(member)


async def test_a_member_that_was_removed_is_held_no_more() -> None:
    wheel, stays, member = Wheel(), Member(60.0), Member(60.0)
    wheel.add(stays)
    wheel.add(member)
    member.at -= 30.0
    wheel.add(member)
    wheel.remove(member)
    known = weakref.ref(member)
    del member
    assert known() is None
    wheel.remove(stays)
