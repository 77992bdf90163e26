import pickle
import subprocess
import sys

import pytest

import streamweir
from streamweir import errors
from streamweir.errors import StreamweirError


def test_all_is_sorted_and_importable() -> None:
    assert streamweir.__all__ == sorted(streamweir.__all__)
    for name in streamweir.__all__:
        assert getattr(streamweir, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        streamweir.Nothing  # noqa: B018


def test_importing_events_loads_no_network_code() -> None:
    code = (
        "import sys, streamweir.events; print([m for m in ('asyncio', 'aiohttp', 'ssl', 'click') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_a_client_loads_no_server_and_no_command_line() -> None:
    code = (
        "import sys; from streamweir import AsyncGateway; AsyncGateway(dialect='openai', base_url='http://127.0.0.1:1/v1');"
        "print([m for m in ('aiohttp', 'click', 'rich') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


CLASSES = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, StreamweirError)]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda c: c.__name__)
def test_every_error_is_in_the_tree_and_pickles(kind: type[StreamweirError]) -> None:
    assert kind.__name__ in (errors.__doc__ or "")
    error = kind("what and how", code="x")
    error.correlation_id = "c"
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), back.message, back.code, back.correlation_id, str(back)) == (
        kind,
        "what and how",
        "x",
        "c",
        "what and how",
    )
