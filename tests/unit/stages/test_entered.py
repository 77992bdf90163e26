from collections.abc import Sequence

from streamweir.stages import entered


class Counting:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, events: Sequence[str]) -> list[str]:
        self.calls += 1
        return [*events]


class More(Counting):
    """Takes its call from another class."""


class Plain:
    def events(self, events: Sequence[str]) -> list[str]:
        return [*events, "plain"]


def test_an_object_is_entered_by_its_method() -> None:
    for stage in (Counting(), More()):
        method = entered(stage)
        assert method(["a"]) == ["a"]
        assert stage.calls == 1
        assert getattr(method, "__self__", None) is stage


def test_whatever_else_can_be_called_stays_what_it_is() -> None:
    made = Plain().events
    for call in (tuple, made, len, lambda events: events):
        assert entered(call) is call


def test_a_class_is_called_to_make_an_object_though_its_objects_can_be_called() -> None:
    assert entered(Counting) is Counting
