import builtins
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamweir import tokens
from streamweir.tokens import counter, estimate

PROSE = "Your order is on its way. The parcel left our warehouse this morning, at 10:35."


def test_a_tokenizer_that_is_installed_counts() -> None:
    assert counter("gpt-4-1106-preview")("hello world").tokens == 2
    assert counter("anything")(PROSE).source == "bpe-openai"
    assert counter("anything")(PROSE).exact
    assert counter("anything")("<|endoftext|>").tokens > 1


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4o-mini", "gpt-4.1", "o1", "o3-mini", "gpt-5.1", "chatgpt-4o-latest"])
def test_newer_models_have_their_own_encoding(model: str) -> None:
    text = "Привет, как дела сегодня?" * 5
    assert counter(model)(text).tokens < counter("gpt-4")(text).tokens
    assert counter("o3x")(text) == counter("gpt-4")(text)


@given(
    st.text(max_size=40)
    | st.text(st.sampled_from("abqxzQXZ "), max_size=60)
    | st.text(st.sampled_from("0123456789 .,-"), max_size=60)
    | st.text(st.sampled_from(" \t\n\r\u00a0a1"), max_size=60)
    | st.text(st.sampled_from("~`|^<>{}[]\\/'\"sS"), max_size=60)
    | st.text(st.characters(min_codepoint=0x10000, max_codepoint=0x1FAFF), max_size=20)
)
@settings(deadline=None, max_examples=600)
def test_the_estimate_is_an_upper_bound(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    for model in ("gpt-4", "gpt-4o"):
        assert estimate(text).tokens >= counter(model)(text).tokens


@pytest.mark.parametrize("alphabet", ["abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"])
def test_a_space_before_a_letter_is_merged_with_it(alphabet: str) -> None:
    """The fact that the estimate builds on, in both vocabularies; and that of the digits."""
    for model in ("gpt-4", "gpt-4o"):
        count = counter(model)
        assert all(count(f" {letter}").tokens == 1 for letter in alphabet)
        assert all(count(f"{number}").tokens == 1 for number in range(1000))
        assert all(count(f"{number:03d}").tokens == 1 for number in range(1000))


def test_the_estimate_of_prose() -> None:
    exact = counter("x")(PROSE).tokens
    assert exact < estimate(PROSE).tokens < 5 * exact
    assert not estimate(PROSE).exact
    assert estimate("").tokens == 0


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens._exact.cache_clear()
    real = builtins.__import__

    def without(name: str) -> Any:
        if name in ("bpe_openai", "tiktoken"):
            return None
        return real(name)

    monkeypatch.setattr(tokens, "_module", without)
    yield
    tokens._exact.cache_clear()


@pytest.mark.usefixtures("nothing_installed")
def test_without_a_tokenizer_an_estimate_says_that_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert counter("gpt-4")("hello world") == estimate("hello world")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "/nowhere")
    assert counter("gpt-4")("hello world").source == "estimate"


def test_tiktoken_is_used_where_its_file_is_there_and_never_downloads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    from hashlib import sha1

    class Tiktoken:
        class Encoding:
            @staticmethod
            def encode_ordinary(text: str) -> list[int]:
                return [0] * 7

        @staticmethod
        def get_encoding(name: str) -> Any:
            assert name == "cl100k_base"
            return Tiktoken.Encoding

    tokens._exact.cache_clear()
    monkeypatch.setattr(tokens, "_module", lambda name: Tiktoken if name == "tiktoken" else None)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    assert counter("gpt-4")("x").source == "estimate"
    tokens._exact.cache_clear()
    (tmp_path / sha1(tokens.FILES["cl100k_base"].encode()).hexdigest()).write_text("vocabulary")
    assert (counter("gpt-4")("x").tokens, counter("gpt-4")("x").source) == (7, "tiktoken")
    assert counter("gpt-4o")("x").source == "estimate"
    tokens._exact.cache_clear()


def test_importing_loads_no_tokenizer() -> None:
    code = "import sys, streamweir.tokens, streamweir.window; print('bpe_openai' in sys.modules, 'tiktoken' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
