"""Numbers of the wire that are larger than anything counted: JSON bounds none."""

import pytest

from streamweir.events import Opened
from tests.relays import relay

HUGE = "1" + "0" * 400
CONTENT = {
    "openai": b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n',
    "sse-generative": b'data: {"content":"x"}\n\n',
}


@pytest.mark.parametrize(
    ("dialect", "end"),
    [
        ("openai", f'data: {{"choices":[],"usage":{{"completion_tokens":{HUGE}}}}}\n\ndata: [DONE]\n\n'),
        ("sse-generative", f'data: {{"tokens_generated":{HUGE},"is_complete":true}}\n\n'),
        ("sse-generative", f'data: {{"is_complete":true,"metadata":{{"usage":{{"completion_tokens":{HUGE}}}}}}}\n\n'),
    ],
)
def test_a_count_that_no_float_holds_is_as_good_as_none(dialect: str, end: str) -> None:
    stream = relay(dialect)
    stream.start([Opened()], 0.0)
    # content at two times, so that there is a rate to work out
    stream.feed(CONTENT[dialect], 1.0)
    stream.feed(CONTENT[dialect], 2.0)
    stream.feed(end.encode(), 3.0)
    assert stream.report.status == "completed"
    assert stream.report.usage.estimated


@pytest.mark.parametrize("number", ["9" * 4300, HUGE, str(2**63), "-1"])
def test_a_sequence_number_that_is_none_leaves_its_text_unnumbered(number: str) -> None:
    stream = relay("sse-gateway")
    stream.feed(f'data: {{"sequence":{number},"choices":[{{"delta":{{"content":"x"}}}}]}}\n\n'.encode(), 1.0)
    stream.feed(b"data: [DONE]\n\n", 2.0)
    assert (stream.report.status, stream.report.text) == ("completed", "x")
    assert stream.report.integrity.first_sequence is None
