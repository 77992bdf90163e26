"""Counting tokens in a closed network: with a tokenizer that is installed, else with a safe upper estimate.

Nothing is imported before the first count, and nothing is ever downloaded.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha1
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from streamweir.window import Count, Counter

NEWER: Final = re.compile(r"(?:chatgpt-4o|gpt-4o|gpt-4\.1|gpt-4\.5|gpt-5|gpt-oss|o[134])(?:$|[-.])")
"""Models whose encoding is o200k_base; all others are counted in cl100k_base (wire contract 2.3)."""

FILES: Final = {
    "cl100k_base": "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken",
    "o200k_base": "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken",
}
"""What tiktoken would download; its cache names a file by the SHA-1 of this."""

PIECE: Final = 50_000
"""Characters counted at once: bpe-openai refuses texts of over 200,000 tokens."""

SPACE_BEFORE_LETTER: Final = re.compile(r" (?=[A-Za-z])")
DIGITS: Final = re.compile(r"[0-9]+")


def counter(model: str) -> Counter:
    """What counts the tokens of a text for `model`, and says how it counted."""
    encoding = "o200k_base" if NEWER.match(model) else "cl100k_base"
    return _exact(encoding, os.environ.get("TIKTOKEN_CACHE_DIR")) or estimate


@lru_cache
def _exact(encoding: str, cache: str | None) -> Counter | None:
    with warnings.catch_warnings():
        # loading uses a deprecated function of the standard library, which is none of the caller's business
        warnings.simplefilter("ignore", DeprecationWarning)
        tokenizer: Any = _module("bpe_openai")
        encode: Any = tokenizer.get_encoding(encoding).encode_ordinary if tokenizer is not None else None
    if encode is not None:
        return lambda text: Count(sum(len(encode(piece)) for piece in pieces(text)), "bpe-openai")
    # tiktoken downloads a vocabulary that is not in its cache, and a closed network would hang on that
    if cache and (Path(cache) / sha1(FILES[encoding].encode()).hexdigest()).is_file():  # noqa: S324 (tiktoken's name)
        tokenizer = _module("tiktoken")
        if tokenizer is not None:
            encode = tokenizer.get_encoding(encoding).encode_ordinary
            return lambda text: Count(sum(len(encode(piece)) for piece in pieces(text)), "tiktoken")
    return None


def pieces(text: str) -> Iterator[str]:
    """A text in pieces that tokenizers take; a cut may add a token to what the whole would have."""
    for at in range(0, max(1, len(text)), PIECE):
        yield text[at : at + PIECE]


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None


def estimate(text: str) -> Count:
    """An upper bound on the tokens of `text`, for prose about four times their number.

    A byte-level vocabulary never makes more tokens than there are UTF-8 bytes. Two facts of cl100k_base and o200k_base
    make the bound tighter: a space before a letter is always merged with it, and up to three digits are one token.
    """
    bytes_ = len(text.encode("utf-8", "replace"))
    merged = len(SPACE_BEFORE_LETTER.findall(text))
    digits = sum(len(run) - -(-len(run) // 3) for run in DIGITS.findall(text))
    return Count(bytes_ - merged - digits, "estimate")
