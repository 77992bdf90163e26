"""What a run was made on, in a sentence: processors, how busy they were, and which releases were compared."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.peers.proxies import LITELLM, NODE, Proxy, nginx_path


def processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.machine()
    return text.partition("model name")[2].partition(":")[2].partition("\n")[0].strip() or platform.machine()


def releases(proxies: Sequence[Proxy]) -> list[str]:
    """The releases of what was measured, as far as they say so."""
    names = {proxy.name for proxy in proxies}
    found = [
        ("CPython", platform.python_version()),
        ("nginx", _said([nginx_path() or "nginx", "-v"]).rpartition("/")[2]),
    ]
    if names & {"Express and axios", "Portkey"}:
        found.append(("Node", _said(["node", "--version"]).lstrip("v")))
    if "Express and axios" in names:
        found += [("Express", _package("express")), ("axios", _package("axios"))]
    if "Portkey" in names:
        found.append(("Portkey", _package("@portkey-ai/gateway")))
    if "LiteLLM" in names:
        ask = "import importlib.metadata as m; print(m.version('litellm'))"
        found.append(("LiteLLM", _said([str(LITELLM.parent / "python"), "-c", ask])))
    return [f"{name} {release}" for name, release in found if release]


def sentence(proxies: Sequence[Proxy], load_before: float) -> str:
    return (
        f"{os.cpu_count()} cores ({processor()}) shared by upstream, proxies and load client; load average before it "
        f"{load_before:.1f}. {', '.join(releases(proxies))}."
    )


def _said(command: Sequence[str]) -> str:
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (ran.stdout or ran.stderr).strip().partition("\n")[0]


def _package(name: str) -> str:
    try:
        text = (NODE / "node_modules" / name / "package.json").read_text(encoding="utf-8")
    except OSError:
        return ""
    return str(json.loads(text)["version"])
