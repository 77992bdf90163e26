"""The fenced code blocks and the links of a Markdown document, found as CommonMark finds fences."""

import re
from typing import NamedTuple

OPENS = re.compile(r"^( *(?:[-*+] +|[0-9]+[.)] +)?)(`{3,}|~{3,})([^\n]*)$")
INLINE = re.compile(r"\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
REFERENCE = re.compile(r"^ {0,3}\[[^\]]+\]:\s*<?(\S+?)>?(?:\s|$)", re.MULTILINE)
CODE_SPAN = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)")


class Block(NamedTuple):
    """One block; `line` is that of its opening fence, from 1. A block in a list loses the list's indentation."""

    info: str
    body: str
    line: int


def split(text: str) -> tuple[list[Block], str]:
    """The blocks of a document, and its prose without them. Raises ValueError where a fence is never closed."""
    blocks: list[Block] = []
    prose: list[str] = []
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        opened = OPENS.match(line)
        if opened is None or (opened[2][0] == "`" and "`" in opened[3]):
            prose.append(line)
            continue
        indent, fence = len(opened[1]), opened[2]
        body: list[str] = []
        for _, inner in lines:
            bare = inner.strip()
            if len(bare) >= len(fence) and not bare.strip(fence[0]):
                break
            body.append(inner[min(indent, len(inner) - len(inner.lstrip(" "))) :])
        else:
            raise ValueError(f"the fence in line {number} is never closed")
        blocks.append(Block(opened[3].strip(), "".join(f"{b}\n" for b in body), number))
    return blocks, "\n".join(prose)


def relative_links(prose: str) -> list[str]:
    """Targets inside the repository, anchors cut off."""
    prose = CODE_SPAN.sub("", prose)
    targets = INLINE.findall(prose) + REFERENCE.findall(prose)
    return [path for t in targets if ":" not in t and (path := t.partition("#")[0])]
