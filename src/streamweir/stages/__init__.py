"""The pipeline between a decoder and a face. Pure.

A stage takes the events of one socket read and the time of that read (seconds on a monotonic clock), and gives the
events to hand on. It runs once per read, not once per event, which at saturation costs a third; how events fall
into reads changes nothing in what comes out, but for where `coalesce` joins pieces of text. The last event of a
stream is its terminal one, and the signal to flush: no stage has a `close()`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import FunctionType, MethodType
from typing import ParamSpec, TypeVar

In = TypeVar("In")
Out = TypeVar("Out")
Taken = ParamSpec("Taken")

Stage = Callable[[Sequence[In], float], Sequence[Out]]
"""A step of the pipeline: events and the time in, events out."""


def entered(call: Callable[Taken, Out]) -> Callable[Taken, Out]:
    """The same, as its method where it is an object: to call an object costs twice what a method does."""
    method = type(call).__call__
    return MethodType(method, call) if isinstance(method, FunctionType) else call
