"""What stands outside arguments and `streamweir.toml`: environment, `.env`, the files of the gc CLI and of Archy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from streamweir.errors import ConfigError
from streamweir.genesys.credentials import Layer, from_archy, from_environment, from_gc, merge, only_at_home, parse_env

GC = ".gc/config.toml"
ARCHY = ".archy_config"
GC_PROFILE = "STREAMWEIR_GC_PROFILE"


@dataclass(frozen=True, slots=True)
class Outside:
    """Layers of settings, the highest first. `environ` also names secrets that a configuration points to."""

    environ: Mapping[str, str]
    variables: tuple[Layer, ...]
    files: tuple[Layer, ...]

    def below(self, *own: Layer) -> Layer:
        """The settings of `own` with what is outside below them. A file's credentials go to its own region only."""
        place = merge([*own, *self.variables, *self.files])
        return merge([*own, *self.variables, *(only_at_home(layer, place) for layer in self.files)])


def look_outside(
    environ: Mapping[str, str], *, env_file: str | Literal[False] | None = None, home: Path | None = None
) -> Outside:
    """Read what is there. `env_file` False reads no `.env`, None the working directory's, where there is one.

    Raises ConfigError where a file cannot be read or understood.
    """
    variables = from_environment(environ)
    known: Mapping[str, str] = environ
    if env_file is not False:
        path = Path(env_file or ".env")
        text = _text(path) if env_file or path.is_file() else None
        if text is not None:
            said = parse_env(text, str(path))
            variables += from_environment(said, str(path))
            known = {**said, **environ}
    home = home or _home(environ)
    files: list[Layer] = []
    if home is not None and (text := _text(home / GC, optional=True)) is not None:
        files.append(from_gc(text, environ.get(GC_PROFILE) or "default", f"~/{GC}"))
    if home is not None and (text := _text(home / ARCHY, optional=True)) is not None:
        files.append(from_archy(text, f"~/{ARCHY}"))
    return Outside(known, tuple(variables), tuple(files))


def _home(environ: Mapping[str, str]) -> Path | None:
    named = environ.get("HOME") or environ.get("USERPROFILE")
    return Path(named) if named else None


def _text(path: Path, *, optional: bool = False) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if optional:
            return None
        raise ConfigError(f"{path} is not there: give another --env-file, or --no-env-file") from None
    except NotADirectoryError:
        return None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from None
