import pickle
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamweir.errors import ContextWindowExceeded
from streamweir.window import DEFAULT_WINDOW, Count, fit, prompt_text, window_of

SYSTEM = {"role": "system", "content": "be kind"}


def words(text: str) -> Count:
    return Count(len(text.split()), "bpe-openai")


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def test_windows() -> None:
    assert window_of("gpt-4-1106-preview", None) == 128_000
    assert window_of("gpt-3.5-turbo-16k", None) == 16_385
    assert window_of("genesys-llm-v2", None) == DEFAULT_WINDOW == 8192
    assert window_of("gpt-4-1106-preview", 100) == 100


def test_what_is_counted() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}]
    messages = [SYSTEM, user(parts), {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}]
    assert prompt_text(messages) == 'system: be kind\nuser: ab\nassistant: [{"id":"c"}]'


def test_a_prompt_that_fits_stays_as_it_is() -> None:
    assert fit([SYSTEM, user("one two")], 6, words, "reject") == ([SYSTEM, user("one two")], Count(6, "bpe-openai"))


def test_reject_gives_the_exact_numbers() -> None:
    with pytest.raises(ContextWindowExceeded) as caught:
        fit([SYSTEM, user("one two")], 5, words, "reject")
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.tokens, error.limit, error.source, error.code) == (6, 5, "bpe-openai", "context_window_exceeded")
    assert error.message == (
        'the prompt has 6 tokens and the context window 5: shorten it, or set on_overflow = "slide"'
    )
    with pytest.raises(ContextWindowExceeded, match=r"at most 9 tokens .* install streamweir\[tokens\]"):
        fit([user("x")], 5, lambda text: Count(9, "estimate"), "reject")


def test_slide_drops_the_oldest_turns_whole() -> None:
    calls = {"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]}
    result = {"role": "tool", "tool_call_id": "1", "content": "42"}
    history = [SYSTEM, user("a"), assistant("b"), user("c"), calls, result, assistant("d"), SYSTEM, user("e")]
    for limit in range(8, 22):
        kept, counted = fit(history, limit, words, "slide")
        assert counted.tokens <= limit
        assert counted == words(prompt_text(kept))
        assert [m for m in kept if m is SYSTEM] == [SYSTEM, SYSTEM]
        assert kept[-1] == user("e")
        assert (calls in kept) == (result in kept) == (user("c") in kept) == (assistant("d") in kept)
        assert (user("a") in kept) == (assistant("b") in kept)
        assert not (user("a") in kept and user("c") not in kept)


def test_what_cannot_fit_is_said_so() -> None:
    with pytest.raises(ContextWindowExceeded) as caught:
        fit([SYSTEM, user("a"), assistant("b"), user("one two three")], 5, words, "slide")
    assert caught.value.tokens == 7
    assert "slide" not in caught.value.message


@given(
    st.lists(st.tuples(st.sampled_from(["user", "assistant", "system", "tool"]), st.integers(0, 6)), max_size=14),
    st.integers(1, 60),
)
@settings(deadline=None, max_examples=300)
def test_slide_keeps_order_system_messages_and_the_last_turn(said: list[tuple[str, int]], limit: int) -> None:
    messages = [{"role": role, "content": "w " * size, "n": n} for n, (role, size) in enumerate(said)]
    try:
        kept, counted = fit(messages, limit, words, "slide")
    except ContextWindowExceeded as error:
        assert error.tokens > limit  # noqa: PT017 (not every draw fits)
        return
    assert counted.tokens <= limit
    numbers = [message["n"] for message in kept]
    assert numbers == sorted(numbers)
    assert [m for m in messages if m["role"] == "system"] == [m for m in kept if m["role"] == "system"]
    last = max((m["n"] for m in messages if m["role"] == "user"), default=None)
    assert last is None or last in numbers


def test_a_long_history_slides_in_no_time() -> None:
    history = [SYSTEM, *(m for n in range(10_000) for m in (user(f"question {n}"), assistant("an answer")))]
    began = time.process_time()
    kept, counted = fit(history, 500, words, "slide")
    assert time.process_time() - began < 1.0
    assert 480 < counted.tokens <= 500
    assert kept[0] is SYSTEM
