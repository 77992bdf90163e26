"""Unguarded text cannot reach a face: the type checker refuses a file that tries."""

import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, needs

pytestmark = pytest.mark.check

HEAD = "# pyright: strict, reportUnusedImport=false\nfrom streamweir.events import Delta, Text, Upstream\nfrom streamweir.faces.browser_sse import BrowserSse\nfrom streamweir.faces.openai_chat import OpenAIChat\n"


@pytest.mark.parametrize(
    ("line", "refused"),
    [
        ("BrowserSse()([Text(0, 0, 'guarded')])", False),
        ("BrowserSse()([Delta('unguarded')])", True),
        ("OpenAIChat(id='', model='', created=0, include_usage=False)([Delta('unguarded')])", True),
        ("def leak(events: list[Upstream]) -> bytes:\n    return BrowserSse()(events)", True),
    ],
)
def test_a_leak_is_a_type_error(tmp_path: Path, line: str, refused: bool) -> None:
    pyright = needs("pyright")["pyright"]
    file = ROOT / "src" / f"leak_{tmp_path.name.replace('-', '_')}.py"
    file.write_text(HEAD + line + "\n")
    try:
        done = subprocess.run([pyright, str(file)], capture_output=True, text=True, check=False)
    finally:
        file.unlink()
    assert ("reportArgumentType" in done.stdout) == refused, done.stdout
    assert done.returncode == (1 if refused else 0), done.stdout
    assert not refused or "Delta" in done.stdout
