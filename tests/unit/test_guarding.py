"""The guards of a configuration: what is refused when they are compiled, and what they do not give away."""

from pathlib import Path

import pytest

from streamweir.client.guarding import KEPT_GUARDS, VALIDATORS, Guards, compiled
from streamweir.errors import ConfigError
from streamweir.guard.build import Spec
from streamweir.guard.masks import Masks
from streamweir.tables import GuardTable, PatternTable

SENSELESS = [
    (GuardTable(recognisers=[]), "guards.g.recognisers is empty, and there are no patterns, terms or lists"),
    (GuardTable(hash_key_env="SHORT"), "guards.g.hash_key_env names SHORT, whose 15 bytes .* `openssl rand -hex 32`"),
    (GuardTable(labels={"EMAIL": "x@y.de"}), "guards.g.labels.EMAIL is 'x@y.de', in which this guard finds EMAIL"),
    (GuardTable(labels={"EMAIL": "a nimbus"}, terms=["nimbus"]), "guards.g.labels.EMAIL .* finds TERM"),
    (
        GuardTable(patterns=[PatternTable(name="A", pattern="a"), PatternTable(name="B", pattern="b", label="-a-")]),
        r"guards.g.patterns\[1\].label is '-a-', in which this guard finds A",
    ),
]


@pytest.mark.parametrize(("table", "message"), SENSELESS)
def test_a_senseless_table_is_refused(table: GuardTable, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Guards({"g": table}, {"SHORT": "x" * 15}).guard("g")


@pytest.mark.parametrize(
    "table",
    [
        GuardTable(recognisers=[], terms=["nimbus"]),
        GuardTable(recognisers=[], lists=["tutorial"]),
        GuardTable(recognisers=[], patterns=[PatternTable(name="A", pattern="a")]),
        GuardTable(labels={"EMAIL": ""}),
        GuardTable(hash_key_env="LONG"),
    ],
)
def test_a_table_that_makes_sense_is_not(table: GuardTable) -> None:
    Guards({"g": table}, {"LONG": "x" * 16}).guard("g")


def test_a_file_without_terms_is_no_term(tmp_path: Path) -> None:
    path = tmp_path / "terms.txt"
    path.write_text("# none yet\n")
    with pytest.raises(ConfigError, match="such a guard finds nothing"):
        Guards({"g": GuardTable(recognisers=[], terms_file=str(path))}).guard("g")


@pytest.mark.parametrize("text", ["", "a", "-", "a" * 16, "\u00b2", "DE", "%"])
@pytest.mark.parametrize("name", VALIDATORS)
def test_a_validator_says_no_to_what_has_no_digits(name: str, text: str) -> None:
    assert VALIDATORS[name](text) is False


def test_neither_key_nor_value_stands_in_a_repr() -> None:
    guard = Guards({"g": GuardTable(hash_key_env="KEY")}, {"KEY": "correct horse battery"}).guard("g")
    assert "horse" not in repr(guard)
    assert len(repr(guard)) < 200
    masks = Masks(guard)
    masks.text("jane@example.com")
    restoring = masks.restoring()
    assert restoring is not None
    assert "jane" not in repr((restoring, restoring.kinds))


def test_guards_of_old_configurations_are_forgotten() -> None:
    kept = compiled(Spec(kinds=(), terms=("kept",)), b"key", "g")
    for number in range(KEPT_GUARDS):
        assert compiled(Spec(kinds=(), terms=("kept",)), b"key", "g") is kept
        compiled(Spec(kinds=(), terms=(f"term{number}",)), b"key", "g")
    info = compiled.cache_info()
    assert info.currsize == info.maxsize == KEPT_GUARDS
