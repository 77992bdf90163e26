"""A block that the extractor overlooks is a block that nobody runs."""

import pytest

from tests.docs.blocks import relative_links, split


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("```python\nx\n```\n", [("python", "x\n", 1)]),
        ("a\n```sh no-run\n\nx\n```\nb\n```\ny\n```", [("sh no-run", "\nx\n", 2), ("", "y\n", 7)]),
        ("- a\n  ```sh\n  x\n    y\n  ```\n", [("sh", "x\n  y\n", 2)]),
        ("1. ```sh\n   x\n   ```\n", [("sh", "x\n", 1)]),
        ("~~~toml\n```\n~~~\n", [("toml", "```\n", 1)]),
        ("````text\n```python\nx\n```\n````\n", [("text", "```python\nx\n```\n", 1)]),
        ("``` json \n{}\n`````\n", [("json", "{}\n", 1)]),
        ("```text\r\nx\r\n```\r\n", [("text", "x\n", 1)]),
        ("```not a fence``` but a span\n", []),
        ("```sh\n```\n", [("sh", "", 1)]),
    ],
)
def test_blocks(text: str, expected: list[tuple[str, str, int]]) -> None:
    assert split(text)[0] == expected


def test_a_fence_that_is_never_closed_is_an_error() -> None:
    with pytest.raises(ValueError, match="line 2"):
        split("a\n```sh\nx\n")


def test_links() -> None:
    prose = split(
        '[a](b.md) [c](d.md#e) [f](#g) [h](https://i.example/j) ![k](l.png "m") `[n](o.md)`\n'
        "```text\n[p](q.md)\n```\n[r]: s.md\n[t]: https://u.example\n"
    )[1]
    assert relative_links(prose) == ["b.md", "d.md", "l.png", "s.md"]
