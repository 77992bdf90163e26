"""`[vectors]`: what it may hold, and sentences for what it may not."""

import pytest

from streamweir.cli.config import rows
from streamweir.config import load_text
from streamweir.errors import ConfigError

GOOD = 'embedder = "http://127.0.0.1:8788/v1"\nmodel = "small"\n'


def loaded(text: str, records: str = "") -> object:
    return load_text(f"{records}\n[vectors]\n{text}").vectors


def test_what_it_is_without_more() -> None:
    table = load_text("[vectors]\n" + GOOD).vectors
    assert table is not None
    assert (table.url, table.collection, table.dimensions, table.size, table.overlap) == (
        "records",
        "llm_responses",
        None,
        800,
        120,
    )
    assert load_text("").vectors is None
    assert not [keys for keys, _ in rows(load_text("")) if keys[0] == "vectors"]
    assert (("vectors", "model"), "small") in list(rows(load_text("[vectors]\n" + GOOD)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "collecton = 'x'", "unknown key vectors.collecton, did you mean 'collection'"),
        (GOOD + "url = 'chroma://x'", "vectors.url: Invalid enum value"),
        ("model = 'm'", "missing required field `embedder`"),
        ("embedder = 'http://x'", "missing required field `model`"),
        (GOOD + "collection = ' '", "vectors.collection is empty: give a name"),
        ("embedder = 'http://x'\nmodel = ''", "vectors.model is empty"),
        ("embedder = 'localhost:8000'\nmodel = 'm'", "vectors.embedder is no base URL: .*api_key_env"),
        (GOOD + "dimensions = 0", "vectors.dimensions is 0: give 1 to 16000"),
        (GOOD + "timeout = 0", "vectors.timeout is 0.*: give more than 0 s and at most 45 s"),
        (GOOD + "timeout = '1m'", "vectors.timeout is '1m'"),
        (GOOD + "timeout = 'soon'", "vectors.timeout is 'soon': give seconds"),
        (GOOD + "size = 49", "vectors.size is 49: give 50 to 4000 characters"),
        (GOOD + "size = 100\noverlap = 50", r"vectors.overlap is 50: .*less than half of size \(100\)"),
        (GOOD + "overlap = -1", "vectors.overlap is -1"),
    ],
)
def test_mistakes_say_where_and_how_to_mend_them(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        loaded(text)


def test_credentials_in_the_url_are_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError, match="without credentials") as caught:
        loaded("embedder = 'http://me:hunter2@x/v1'\nmodel = 'm'")
    assert "hunter2" not in caught.value.message


def test_vectors_without_records_have_no_place() -> None:
    with pytest.raises(ConfigError, match='kept with the records, and records.url is "off"'):
        loaded(GOOD, '[records]\nurl = "off"')
