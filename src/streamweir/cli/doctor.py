"""`streamweir doctor`: what was found where, and whether the upstream answers."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import click
import msgspec

from streamweir.cli.exits import exit_code_of
from streamweir.client.outside import look_outside
from streamweir.client.resolve import Client, resolve_client
from streamweir.client.sync.checkup import Finding, examine
from streamweir.dialects import BUILTIN
from streamweir.errors import ConfigError, StreamweirError
from streamweir.genesys.credentials import SECRET

SIGNS = {"ok": "ok  ", "warn": "note", "fail": "FAIL"}
COLORS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command("doctor", short_help="what was found where, and whether the upstream answers")
@click.option("-m", "--model", help="the model to ask")
@click.option("--dialect", type=click.Choice(sorted(BUILTIN)), help="the upstream's streaming contract")
@click.option("--base-url", help="the upstream's address")
@click.option("--region", help="a Genesys Cloud region")
@click.option("--client-id", help="OAuth client id")
@click.option("--token-url", help="the token endpoint, where it is not the usual one")
@click.option("--login", type=click.Choice(["platform", "api-body", "api-basic", "login-v2"]), help="the login form")
@click.option("--api-key-env", metavar="NAME", help="the variable that holds the API key (openai dialect)")
@click.option("--prompt-id", help="the gateway's prompt (ws-gateway needs one)")
@click.option("--profile", help="a profile of the configuration")
@click.option("-c", "--config", metavar="FILE", help="configuration")
@click.option("--env-file", metavar="FILE", help="variables to read (default: ./.env, where there is one)")
@click.option("--no-env-file", is_flag=True, help="read no .env")
@click.option("--json", "as_json", is_flag=True, help="one JSON object: sources and findings")
def command(**flags: Any) -> None:
    """Look at everything that a first stream needs, and say of each what was found and how to mend it.

    Prints which source gave each setting (secrets masked), reaches the upstream, checks TLS and clock, gets a token,
    and streams the first tokens of a short reply, which the upstream may charge for. Exits 0 where nothing failed.
    """
    sys.exit(_doctor(flags))


def _doctor(flags: dict[str, Any]) -> int:
    findings = [_python()]
    sources: dict[str, dict[str, str]] = {}
    error: StreamweirError | None = None
    show = _quiet if flags["as_json"] else _line
    show(findings[0])
    try:
        client = _resolve(flags)
    except ConfigError as raised:
        error = raised
        findings.append(Finding("configuration", "fail", raised.message, "docs/configuration.md", "ConfigError"))
        show(findings[-1])
    else:
        sources = sources_of(client)
        findings.append(_configuration(client))
        if not flags["as_json"]:
            for name, said in sources.items():
                click.echo(f"      {name:<14} {said['value']:<36} {said['source']}")
        show(findings[-1])
        for finding in examine(client, flags["model"] or client.model, flags["prompt_id"]):
            if isinstance(finding, StreamweirError):
                error = finding
            else:
                findings.append(finding)
                show(finding)
    if flags["as_json"]:
        click.echo(msgspec.json.encode({"sources": sources, "findings": findings}).decode())
    return exit_code_of(error) if error is not None else int(any(one.verdict == "fail" for one in findings))


def _resolve(flags: dict[str, Any]) -> Client:
    names = ("dialect", "base_url", "region", "client_id", "token_url", "login", "api_key_env", "model")
    outside = look_outside(os.environ, env_file=False if flags["no_env_file"] else flags["env_file"])
    asked = {name: flags[name] for name in names}
    return resolve_client(asked, outside, config=flags["config"], profile=flags["profile"])


def sources_of(client: Client) -> dict[str, dict[str, str]]:
    """Each setting with its value, secrets masked, and where it stands."""
    return {
        name: {"value": masked(found.value) if name in SECRET else found.value, "source": found.source}
        for name, found in sorted(client.sources.items())
    }


def masked(secret: str) -> str:
    """A secret as it may be shown: enough to tell two apart, too little to use."""
    return f"{secret[:2]}…{secret[-2:]} ({len(secret)} characters)" if len(secret) >= 12 else "…"


def _python() -> Finding:
    tokenizer = next((name for name in ("bpe_openai", "tiktoken") if find_spec(name) is not None), None)
    counting = f"tokens are counted by {tokenizer}" if tokenizer else "tokens are estimated"
    detail = (
        f"streamweir {version('streamweir')} on Python {platform.python_version()}, {platform.system()}; {counting}"
    )
    return Finding("python", "ok", detail, "" if tokenizer else "for exact counts: pip install 'streamweir[tokens]'")


def _configuration(client: Client) -> Finding:
    settings = client.settings
    where = settings.hosts.region or settings.hosts.api
    detail = f"{settings.dialect} at {where}" + (f", profile {client.profile}" if client.profile else "")
    if client.notes:
        return Finding("configuration", "warn", f"{detail}; {'; '.join(client.notes)}", "name them, to be sure")
    return Finding("configuration", "ok", detail)


def _line(finding: Finding) -> None:
    sign = click.style(SIGNS[finding.verdict], fg=COLORS[finding.verdict])
    click.echo(f"{sign}  {finding.check}: {finding.detail}")
    if finding.fix:
        click.echo(f"      -> {finding.fix}")


def _quiet(finding: Finding) -> None:
    """With --json all is said at the end."""
