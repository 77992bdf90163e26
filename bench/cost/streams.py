"""Streams as the proxy makes them, without its sockets: from a configuration to a relay, and what an upstream sends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from streamweir.client.aio.pool import Pool
from streamweir.client.opening import Opening
from streamweir.config import load_text
from streamweir.dialects import BUILTIN
from streamweir.events import Delta, End, Numbered, Released, Upstream
from streamweir.faces.browser_sse import BrowserSse
from streamweir.faces.openai_chat import OpenAIChat
from streamweir.faces.wanted import Wanted
from streamweir.relay import Relay
from streamweir.server.keys import ANYONE
from streamweir.server.profiles import Profiles

TERMS = Path(__file__).parents[1] / "terms.txt"
CONFIG = """
[upstreams.openai]
dialect = "openai"
base_url = "{url}/v1"
api_key = "k"

[upstreams.sse-gateway]
dialect = "sse-gateway"
base_url = "{url}"
client_id = "i"
client_secret = "s"

[guards.all]
terms_file = "{terms}"
"""
PROSE = (
    "Thank you for waiting, I have your account open in front of me now. Your order left our warehouse this morning "
    "and should be with you on Thursday by 14:30; the amount of €49.90 was charged twice, and one of them comes back "
    "to your card in three to five working days. I noted your question under number 4821077. Anything else? "
)
"""What a contact centre's model says, a number and an amount in it, and nothing that a guard finds."""

WORDS = [f"{word} " for word in PROSE.split()]

Face = Callable[[Sequence[Released]], bytes]
FACES: dict[str, Callable[[], Face]] = {
    "OpenAI": lambda: OpenAIChat(id="chatcmpl-0000001b", model="m", created=1_760_000_000, include_usage=False),
    "browser SSE": BrowserSse,
}


def config(url: str = "http://127.0.0.1:9") -> str:
    """A profile for each upstream, named as it is, without a guard and (`-guarded`) with the 14 kinds and the terms."""
    text = CONFIG.format(url=url, terms=TERMS)
    for upstream in ("openai", "sse-gateway"):
        for name, guard in ((upstream, "off"), (f"{upstream}-guarded", "all")):
            text += f'[profiles.{name}]\nupstream = "{upstream}"\nmodel = "mock-model"\nguard = "{guard}"\n'
    return f'{text}[records]\nurl = "off"\n'


def profiles() -> Profiles:
    return Profiles(load_text(config()), {}, Pool())


def accepted(served: Profiles, profile: str) -> Opening:
    """A handshake that an upstream has just accepted. Its clock began at 0."""
    wanted = Wanted(profile=profile, messages=[{"role": "user", "content": "Where is my order?"}])
    opening = served.opening(wanted, ANYONE, "request", 0.0, 1e9, withdraw=False)
    opening.connection = object()
    return opening


def relay(opening: Opening, encode: Callable[[Sequence[Released]], Any]) -> Relay[Any]:
    """The relay that the proxy makes for it, started."""
    made: Relay[Any] = opening.source.exchange.relay(opening, encode, 0.0)[0]
    return made


def wire(dialect: str, count: int, end: bool = False) -> list[bytes]:
    """What an upstream sends, an entry an event; `end` adds what comes behind the last word."""
    deltas = [Delta(WORDS[number % len(WORDS)]) for number in range(count)]
    events: list[Upstream] = (
        [Numbered(number, (delta,)) for number, delta in enumerate(deltas)] if dialect == "sse-gateway" else [*deltas]
    )
    encoder = BUILTIN[dialect].encoder(id="chatcmpl-0000001a", model="mock-model", created=1_760_000_000)
    out = list(encoder.encode(events))
    if end:
        out += encoder.encode([End(status="completed", stop_reasons={0: "stop"})])
    return out


def reads(pieces: Sequence[bytes], together: int) -> list[bytes]:
    return [b"".join(pieces[at : at + together]) for at in range(0, len(pieces), together)]
