"""The tables of `streamweir.toml`, and what each key may be."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from streamweir.flows.continuation import OnCut, OnGaps
from streamweir.flows.passages import OVERLAP, SIZE
from streamweir.genesys.login import Login

Duration = float | str
"""Seconds, or a number with a unit: "250ms", "20s", "2m", "1h"."""


class UpstreamTable(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`[upstreams.NAME]`."""

    dialect: str = "sse-gateway"
    region: str | None = None
    base_url: str | None = None
    client_id: str | None = None
    client_id_env: str | None = None
    client_secret: str | None = None
    client_secret_env: str | None = None
    client_secret_file: str | None = None
    access_token: str | None = None
    api_key: str | None = None
    api_key_env: str | None = None
    login: Login | None = None
    token_url: str | None = None
    path: str | None = None
    scopes: list[str] | None = None
    headers: dict[str, str] = {}
    ca_file: str | None = None
    proxy: str | None = None
    token_store: str = "memory"
    token_in: Literal["header", "subprotocol"] = "header"
    max_message_chars: int | None = None
    schema: Literal["lenient", "strict"] = "lenient"
    malformed: Literal["fail", "skip"] = "fail"
    end_marker: Literal["done", "finish_reason"] = "done"
    content: Literal["delta", "cumulative"] = "delta"
    on_cut: OnCut | None = None
    on_gaps: OnGaps | None = None
    max_restarts: int | None = None
    continue_as: Literal["assistant", "system"] | None = None
    max_gap_ratio: float = 0.05
    max_tries: int = 3
    requests_per_minute: int | None = None
    concurrent: int = 0
    retry_ambiguous: bool = False
    connect: Duration | None = None
    first_token_timeout: Duration | None = None
    idle_timeout: Duration | None = None
    inactivity_timeout: Duration | None = None
    deadline: Duration | None = None


class ProfileTable(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`[profiles.NAME]`: what clients call a model, or a configurationId."""

    upstream: str
    model: str
    guard: str | None = None
    system: str | None = None
    options: dict[str, Any] = {}
    prompt_id: str | None = None
    context_window: int | None = None
    on_overflow: Literal["reject", "slide"] = "reject"
    fallback: list[str] = []
    on_cut: OnCut | None = None
    on_gaps: OnGaps | None = None
    max_restarts: int | None = None
    continue_as: Literal["assistant", "system"] | None = None
    connect: Duration | None = None
    first_token_timeout: Duration | None = None
    idle_timeout: Duration | None = None
    inactivity_timeout: Duration | None = None
    deadline: Duration | None = None


class PatternTable(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One of `guards.NAME.patterns`: a recogniser of one's own."""

    name: str
    pattern: str
    before: str | None = None
    after: str | None = None
    context: str | None = None
    validator: Literal["luhn", "ssn", "iban", "card", "ip"] | None = None
    label: str | None = None
    group: Literal["pii", "safety"] = "pii"
    ignore_case: bool = False


class GuardTable(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`[guards.NAME]`: what is looked for, and what becomes of it."""

    output: Literal["redact", "block", "observe", "off"] = "redact"
    input: Literal["mask", "block", "observe", "off"] = "off"
    restore: bool = False
    recognisers: list[str] | None = None
    labels: dict[str, str] = {}
    terms: list[str] = []
    terms_file: str | None = None
    lists: list[str] = []
    match: Literal["word", "substring"] = "word"
    patterns: list[PatternTable] = []
    hash_key_env: str | None = None


class KeyTable(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One of `server.keys`: an API key by its hash, the profiles that it may use (none named: all), and how much.

    `rate` is streams begun in a window, "60/min"; `concurrent` those that it may have at a time. None: no limit.
    `admin`: /metrics too.
    """

    name: str
    sha256: str
    profiles: list[str] | None = None
    admin: bool = False
    rate: str | None = None
    concurrent: int | None = None


class ServerTable(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`[server]`."""

    default_profile: str | None = None
    keys: list[KeyTable] = []
    origins: list[str] = []
    trusted_proxies: list[str] = []
    tls_cert: str | None = None
    tls_key: str | None = None
    commit_after: Duration = 10.0
    heartbeat: Duration = 15.0
    resume_window: Duration = 60.0
    drain: Duration = 60.0
    slow_client: Duration = 10.0
    body_limit: int = 4 * 1024 * 1024
    max_streams: int = 2000
    queue: int = 200
    queue_wait: Duration = 10.0


class LiveTable(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`[live]`: what streams share while they live. `limit` is in bytes, of the logs from which streams are resumed."""

    url: Literal["memory://"] = "memory://"
    limit: int = 256 * 1024 * 1024


class RecordsTable(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`[records]`: what is kept of every stream. Without a url `serve` keeps it in ./streamweir.db, others nothing.

    `checkpoint_every` is a number of records, or a time ("60s"); None: 1,000 records or a minute. `anchors`: files and
    addresses that get each checkpoint. `legal_hold` stops purges.
    """

    url: str | None = None
    required: bool = True
    retention: Duration = "7d"
    text: bool = False
    signing_key_file: str | None = None
    checkpoint_every: int | str | None = None
    anchors: list[str] = []
    legal_hold: bool = False


class VectorsTable(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`[vectors]`: replies' texts in passages, found by meaning. `embedder` is an OpenAI-compatible server's base URL.

    `dimensions` None: the model's own. `size` and `overlap` of passages are in characters; `timeout` is for one reply.
    """

    embedder: str
    model: str
    url: Literal["records"] = "records"
    collection: str = "llm_responses"
    api_key_env: str | None = None
    dimensions: int | None = None
    timeout: Duration = 20.0
    size: int = SIZE
    overlap: int = OVERLAP
    ca_file: str | None = None
    proxy: str | None = None


class WebhookTable(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One of `webhooks`: an endpoint, the secrets that sign for it, and what it wants to hear of.

    `name` is the URL's host and port where it is not given; `events` are all ends of streams. Secrets are `whsec_…`.
    """

    url: str
    name: str | None = None
    secret_env: str | list[str] | None = None
    secret_file: str | None = None
    events: list[str] | None = None
    timeout: Duration = 3.0
    allow_loopback: bool = False
    text: bool = False


class Config(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A whole `streamweir.toml`."""

    upstreams: dict[str, UpstreamTable] = {}
    profiles: dict[str, ProfileTable] = {}
    guards: dict[str, GuardTable] = {}
    server: ServerTable = msgspec.field(default_factory=ServerTable)
    live: LiveTable = msgspec.field(default_factory=LiveTable)
    records: RecordsTable = msgspec.field(default_factory=RecordsTable)
    vectors: VectorsTable | None = None
    webhooks: list[WebhookTable] = []
