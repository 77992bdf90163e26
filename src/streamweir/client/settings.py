"""What an upstream is, once every source of configuration has been asked. No input or output."""

from __future__ import annotations

from typing import Literal

import msgspec

from streamweir.dialects import BUILTIN, Dialect
from streamweir.dialects.ends import DecodeOptions
from streamweir.flows.backoff import RetryPolicy
from streamweir.flows.budget import BudgetPolicy
from streamweir.flows.continuation import AgainPolicy
from streamweir.genesys.login import Login
from streamweir.genesys.regions import Hosts
from streamweir.stages.limits import TimeLimits


class UpstreamSettings(msgspec.Struct, kw_only=True, frozen=True):
    """One upstream, resolved: where it is, how it is spoken to, and with which credentials.

    `bearer` is a token or API key given by hand, and then no token is asked for. Its repr holds no secret.
    """

    dialect: str
    hosts: Hosts
    client_id: str | None = None
    client_secret: str | None = None
    bearer: str | None = None
    login: Login | None = None
    token_url: str | None = None
    path: str | None = None
    scopes: tuple[str, ...] | None = None
    headers: tuple[tuple[str, str], ...] = ()
    ca_file: str | None = None
    proxy: str | None = None
    token_proxy: str | None = None
    token_store: str = "memory"
    token_key: str | None = None
    token_in: Literal["header", "subprotocol"] = "header"
    message_chars: int | None = None
    decode: DecodeOptions = DecodeOptions()
    limits: TimeLimits = TimeLimits()
    retry: RetryPolicy = RetryPolicy()
    budget: BudgetPolicy = BudgetPolicy()
    max_gap_ratio: float = 0.05
    again: AgainPolicy = AgainPolicy()
    bearer_hint: str = ""

    def __repr__(self) -> str:
        return f"UpstreamSettings(dialect={self.dialect!r}, api={self.hosts.api!r}, client_id={self.client_id!r})"

    @property
    def spoken(self) -> Dialect:
        """The dialect itself."""
        return BUILTIN[self.dialect]

    @property
    def needs_token(self) -> bool:
        """Whether a token is fetched with client credentials."""
        return self.bearer is None and self.spoken.login != "none"

    @property
    def login_form(self) -> Login:
        """The login form: the one given, else the platform's for a region, else the dialect's own."""
        own: Literal["platform", "api-body", "api-basic", "login-v2", "none"] = self.spoken.login
        if self.login is not None:
            return self.login
        return "platform" if self.hosts.region is not None or own == "none" else own

    @property
    def token_name(self) -> str:
        """Whose token it is: no other client, endpoint or set of scopes may be given it."""
        endpoint = self.token_url or f"{self.login_form} {self.hosts.login} {self.hosts.api}"
        return "\n".join((self.client_id or "", endpoint, *sorted(self.asked_scopes)))

    @property
    def required_scopes(self) -> tuple[str, ...]:
        """The scopes that a token must have: those that the dialect names, unless configured otherwise."""
        return self.spoken.scopes if self.scopes is None else self.scopes

    @property
    def asked_scopes(self) -> tuple[str, ...]:
        """The scopes that a token is asked for."""
        return self.spoken.scopes + self.spoken.asked_too if self.scopes is None else self.scopes
