"""The proxies' configurations, as text: each passes everything on to one upstream of this machine."""

from __future__ import annotations

import json
from pathlib import Path

MODEL = "mock-model"

KEY = "sk-bench-0123456789abcdef0123456789abcdef"
"""What the load client sends as its key. LiteLLM does not start without one to check; the others pass it on or over."""


def nginx(folder: Path, port: int, upstream: int) -> str:
    """One worker that passes bytes through as they come, over connections that it keeps."""
    temporary = "".join(
        f"    {what}_temp_path {folder}/{what};\n" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""daemon off;
worker_processes 1;
worker_rlimit_nofile 40000;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 20000; }}
http {{
    access_log off;
{temporary}    keepalive_requests 1000000;
    tcp_nodelay on;
    upstream mock {{
        server 127.0.0.1:{upstream};
        keepalive 1000;
        keepalive_requests 1000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=2048;
        location / {{
            proxy_pass http://mock;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 300s;
        }}
    }}
}}
"""


def streamweir(upstream: int, terms: str | None, records: str = "off") -> str:
    """The defaults, with room for the knee's streams; no guard, or one of the fourteen kinds and a file of terms.

    `records` is where they are kept.
    """
    guard = "on" if terms else "off"
    text = f"""[upstreams.mock]
dialect = "openai"
base_url = "http://127.0.0.1:{upstream}/v1"

[profiles.{MODEL}]
upstream = "mock"
model = "{MODEL}"
guard = "{guard}"

[server]
max_streams = 10000

[records]
url = "{records}"
"""
    return text if terms is None else f"{text}\n[guards.on]\nterms_file = {json.dumps(terms)}\n"


def litellm(upstream: int) -> str:
    """One model, nothing asked twice."""
    return f"""model_list:
  - model_name: {MODEL}
    litellm_params:
      model: openai/{MODEL}
      api_base: "http://127.0.0.1:{upstream}/v1"
      api_key: any
litellm_settings:
  telemetry: false
  num_retries: 0
  request_timeout: 600
general_settings:
  master_key: {KEY}
"""
