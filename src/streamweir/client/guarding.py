"""The guards of a configuration, compiled when they are first asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

from streamweir.config import GUARD_MODES
from streamweir.errors import ConfigError, RequestError
from streamweir.events import End, Released, Upstream
from streamweir.guard import validators
from streamweir.guard.build import Spec, build
from streamweir.guard.engine import redact
from streamweir.guard.masks import Masks
from streamweir.guard.recognisers import DEFAULT_KINDS, LISTS, Recogniser
from streamweir.guard.shapes import Guard, Mode
from streamweir.mistakes import among
from streamweir.stages import Stage
from streamweir.stages.guard import Guarded
from streamweir.stages.release import Names, release_unguarded
from streamweir.tables import GuardTable, PatternTable

Release = Callable[[Names], Stage[Upstream, Released | End]]


VALIDATORS: Final[Mapping[str, Callable[[str], bool]]] = {
    "luhn": lambda text: validators.luhn(validators.digits_of(text)),
    "ssn": validators.ssn,
    "iban": validators.iban,
    "card": validators.card,
    "ip": validators.ip,
}

KEY: Final = os.urandom(32)
"""The key of findings' hashes where none is configured: a new one for each process."""

MIN_KEY: Final = 16
"""Bytes of a key. Whoever knows it tries all social security numbers in an hour, so it must not be guessed."""

KEPT_GUARDS: Final = 4
"""Compiled guards that outlive their clients, for the next ones: each may grow to 32 MB, and hold terms of old."""


class Guards:
    """The guards that may be asked for: the modes, and the tables of a configuration. Raises ConfigError."""

    def __init__(
        self, tables: Mapping[str, GuardTable] | None = None, environ: Mapping[str, str] | None = None
    ) -> None:
        self._tables = dict(tables or {})
        self._environ = environ or {}
        self._guards: dict[str, Guard] = {}

    def release(self, name: str) -> Release:
        """What makes the stage that lets a stream's text out, under the guard of that name. Raises ConfigError."""
        mode = self.mode(name)
        return release_unguarded if mode is None else partial(Guarded, self.guard(name), mode)

    def mode(self, name: str) -> Mode | None:
        """What becomes of the output under the guard of that name; None where it is off. Raises ConfigError."""
        table = self._tables.get(name)
        if table is None and name not in GUARD_MODES:
            raise ConfigError(f"guard is {name!r}, {among(name, (*GUARD_MODES, *self._tables))}")
        mode = table.output if table is not None else name
        return None if mode == "off" else _mode(mode)

    def reads_prompts(self, name: str) -> bool:
        """Whether the guard of that name looks at what is asked; else `prepare` changes nothing."""
        table = self._tables.get(name)
        return table is not None and table.input != "off"

    def prepare(self, name: str, asked: Mapping[str, Any]) -> tuple[dict[str, Any], Release]:
        """What the upstream may see of a request, and what lets the answer out, under the guard of that name.

        `asked` is what the caller says, by the keys of an OpenAI request: messages, metadata, stop, user …; nothing
        that a profile adds, since what is masked here may be put back into the answer.

        Raises ConfigError, and RequestError (code `prompt_blocked`) where the guard blocks the prompt.
        """
        table = self._tables.get(name)
        if table is None or table.input == "off":
            return dict(asked), self.release(name)
        masks = Masks(self.guard(name))
        masked = masks.request(asked)
        if table.input == "block" and masks.findings:
            kinds = ", ".join(dict.fromkeys(finding.kind for finding in masks.findings))
            raise RequestError(f"the prompt holds what the guard does not let in: {kinds}", code="prompt_blocked")
        restore = masks.restoring() if table.input == "mask" and table.restore else None
        # where only prompts are read, the reply is observed: somebody has to tell what was found in them
        release = partial(
            Guarded, self.guard(name), self.mode(name) or "observe", restore=restore, asked=tuple(masks.findings)
        )
        return masked if table.input == "mask" else dict(asked), release

    def covering(self, name: str) -> Guard | None:
        """The guard of that name where it reads prompts or answers, whatever becomes of them. Raises ConfigError."""
        table = self._tables.get(name)
        off = name == "off" if table is None else table.output == table.input == "off"
        return None if off else self.guard(name)

    def guard(self, name: str) -> Guard:
        """The compiled guard of that name. Raises ConfigError."""
        found = self._guards.get(name)
        if found is None:
            where = f"guards.{name}"
            table = self._tables.get(name) or GuardTable()
            found = compiled(spec_of(table, where), self._key(table, where), where)
            _check_labels(table, found, where)
            self._guards[name] = found
        return found

    def _key(self, table: GuardTable, where: str) -> bytes:
        if table.hash_key_env is None:
            return KEY
        value = self._environ.get(table.hash_key_env)
        if not value:
            raise ConfigError(f"{where}.hash_key_env names {table.hash_key_env}, which is not set")
        key = value.encode("utf-8", "surrogateescape")
        if len(key) < MIN_KEY:
            raise ConfigError(
                f"{where}.hash_key_env names {table.hash_key_env}, whose {len(key)} bytes can be guessed: "
                f"give at least {MIN_KEY}, such as `openssl rand -hex 32` makes"
            )
        return key


def _mode(name: str) -> Mode:
    return "block" if name == "block" else "observe" if name == "observe" else "redact"


def _check_labels(table: GuardTable, guard: Guard, where: str) -> None:
    """Refuse labels that would be found again where what was redacted is read once more. Raises ConfigError."""
    given = {f"labels.{kind}": label for kind, label in table.labels.items()}
    given |= {f"patterns[{at}].label": one.label for at, one in enumerate(table.patterns) if one.label is not None}
    for key, label in given.items():
        _, findings = redact(guard, label)
        if findings:
            raise ConfigError(
                f"{where}.{key} is {label!r}, in which this guard finds {findings[0].kind}: give another label"
            )


@lru_cache(maxsize=KEPT_GUARDS)
def compiled(spec: Spec, key: bytes, where: str) -> Guard:
    """A guard by what it looks for: it is a fifth of a second and some megabytes, and clients are made often."""
    return build(spec, key, where)


def spec_of(table: GuardTable, where: str) -> Spec:
    """What a table looks for, terms read from their file. Raises ConfigError."""
    terms = list(table.terms)
    if table.terms_file is not None:
        try:
            lines = Path(table.terms_file).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{where}.terms_file: {table.terms_file} cannot be read: {error}") from None
        terms += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    for name in table.lists:
        if name not in LISTS:
            raise ConfigError(f"{where}.lists: {name!r}, {among(name, LISTS)}")
        terms += LISTS[name]
    kinds = DEFAULT_KINDS if table.recognisers is None else tuple(table.recognisers)
    if not (kinds or table.patterns or terms):
        raise ConfigError(
            f"{where}.recognisers is empty, and there are no patterns, terms or lists: such a guard finds nothing; "
            'name what it looks for, or set guard = "off" in the profile'
        )
    labels = {**table.labels, **{one.name: one.label for one in table.patterns if one.label is not None}}
    return Spec(
        kinds=kinds,
        patterns=tuple(_recogniser(one) for one in table.patterns),
        terms=tuple(dict.fromkeys(terms)),
        match=table.match,
        labels=tuple(labels.items()),
    )


def _recogniser(one: PatternTable) -> Recogniser:
    return Recogniser(
        one.name,
        one.pattern,
        one.before,
        one.after,
        VALIDATORS[one.validator] if one.validator is not None else None,
        one.context,
        one.group,
        one.ignore_case,
    )
