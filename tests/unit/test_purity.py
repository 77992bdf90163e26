"""The pure half stays pure, and no file outgrows one purpose."""

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src" / "streamweir"
IMPURE = (
    "client",
    "records",
    "server",
    "cli",
    "simulator/app.py",
    "tokens.py",
    "interop",
    "asgi.py",
    "simulator/sockets.py",
    "config.py",
    "__main__.py",
    "__init__.py",
)
FORBIDDEN = {
    "asyncio",
    "socket",
    "time",
    "random",
    "os",
    "logging",
    "threading",
    "sqlite3",
    "uuid",
    "secrets",
    "aiohttp",
    "uvloop",
}
SETTINGS = "client/settings.py"


def modules() -> list[Path]:
    return sorted(SRC.rglob("*.py"))


def is_pure(path: Path) -> bool:
    name = path.relative_to(SRC).as_posix()
    return name == SETTINGS or not any(name == part or name.startswith(f"{part}/") for part in IMPURE)


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("path", [p for p in modules() if is_pure(p)], ids=lambda p: p.relative_to(SRC).as_posix())
def test_the_pure_half_imports_nothing_that_acts(path: Path) -> None:
    names = imported(path)
    assert not {name.split(".")[0] for name in names} & FORBIDDEN
    impure = {
        "streamweir." + part.removesuffix(".py").replace("/", ".") for part in IMPURE if not part.startswith("__")
    }
    assert not {name for name in names if any(name == part or name.startswith(part + ".") for part in impure)}


def test_both_halves_are_seen() -> None:
    pure = [path for path in modules() if is_pure(path)]
    assert len(pure) > 25
    assert len(modules()) - len(pure) > 10


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(SRC).as_posix())
def test_no_file_has_more_than_300_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


SHARED = sorted((SRC / "client").glob("*.py"))


@pytest.mark.parametrize("path", SHARED, ids=lambda p: p.name)
def test_what_both_clients_share_waits_for_nothing(path: Path) -> None:
    assert not {name.split(".")[0] for name in imported(path)} & {"asyncio", "threading", "socket", "select"}


def test_neither_shell_needs_the_other() -> None:
    for mine, other in (("aio", "sync"), ("sync", "aio")):
        for path in (SRC / "client" / mine).glob("*.py"):
            assert not [name for name in imported(path) if name.startswith(f"streamweir.client.{other}.")], path
