"""How keys, tokens and passwords are written by those who give them out, and by those who assign them."""

from __future__ import annotations

from typing import Final

from streamweir.guard.spelling import with_digit

TOKEN: Final = "A-Za-z._~+/=-"

ISSUED: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    (r"(?:AKIA|ASIA|AGPA|AIDA|AROA)[0-9A-Z]{16}", ("AKIA", "ASIA", "AGPA", "AIDA", "AROA")),
    (r"gh[pousr]_[0-9A-Za-z]{20,}", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_")),
    (r"github_pat_[0-9A-Za-z_]{20,}", ("github_pat_",)),
    (r"gl(?:pat|ptt|dt|rt|cbt)-[0-9A-Za-z_.-]{20,}", ("glpat-", "glptt-", "gldt-", "glrt-", "glcbt-")),
    (
        r"xox[abeoprs]-[0-9A-Za-z-]{10,}|xapp-[0-9A-Za-z-]{20,}",
        ("xoxa-", "xoxb-", "xoxe-", "xoxo-", "xoxp-", "xoxr-", "xoxs-", "xapp-"),
    ),
    (r"(?:sk|rk|pk)_(?:live|test)_[0-9A-Za-z]{16,}", ("sk_live_", "rk_live_", "sk_test_", "rk_test_")),
    (r"whsec_[0-9A-Za-z+/=]{24,}", ("whsec_",)),
    (rf"sk-{with_digit('A-Za-z_-', 20)}", ("sk-",)),
    (r"AIza[0-9A-Za-z_-]{35}", ("AIza",)),
    (r"ya29\.[0-9A-Za-z_-]{20,}|GOCSPX-[0-9A-Za-z_-]{20,}", ("ya29.", "GOCSPX-")),
    (r"npm_[0-9A-Za-z]{36}", ("npm_",)),
    (r"pypi-[0-9A-Za-z_-]{50,}", ("pypi-",)),
    (r"hf_[0-9A-Za-z]{30,}", ("hf_",)),
    (r"dop_v1_[0-9a-f]{64}", ("dop_v1_",)),
    (r"SG\.[0-9A-Za-z_-]{16,32}\.[0-9A-Za-z_-]{30,}", ("SG.",)),
    (r"sw_[0-9A-Za-z_-]{43}", ("sw_",)),
)
"""Patterns that stand for themselves, and what a reply that breaks off must not show the beginning of."""

NAMES: Final = (
    r"(?:api|access|secret|account|auth|authorization|client|encryption|private|shared|signing|storage|subscription|"
    r"x-api|access[ _-]?key|aws|azure|openai|anthropic|twilio|bot|session|refresh|personal access|webhook)"
    r"[ _-]?(?:key|token|secret|sid|key[ _-]?id|access[ _-]?key)"
)
ASSIGNS: Final = r"[\\\"'`*_]{0,4}(?: ?(?:[:=]|=>)| is )[ \\\"'`*_]{0,5}"
QUOTED: Final = r"\\{0,3}[\"'`]? ?(?:[:=]|=>) ?\\{0,3}[\"'`]|="
"""How a text is assigned; a name of code has no quotes, and seldom no space."""
ASSIGNED: Final = rf"(?i:{NAMES}{ASSIGNS}|(?:secret|token)(?:{QUOTED}))"
PASSWORD: Final = (
    r"(?:(?i:password|passwd|passwort|passphrase|pwd|mot de passe)|[a-z][0-9A-Za-z]*(?:Password|Passwd|Passphrase|Pwd))"
    rf"(?i:{ASSIGNS})"
)
SLACK_HOOK: Final = r"(?i:hooks\.slack\.com/(?:services|workflows|triggers)/)"
SCHEMES: Final = r"(?:https?|s?ftp|ssh|git|postgres(?:ql)?|mysql|mariadb|mongodb(?:\+srv)?|rediss?|amqps?)"
IN_URL: Final = rf"(?i:{SCHEMES}://[^\s/:@]*:)"

ANNOUNCED: Final[tuple[tuple[str, str, str | None], ...]] = (
    (with_digit(TOKEN, 16), ASSIGNED, None),
    (r"[0-9A-Za-z/+=]{40}", r"(?i:aws.?secret.?access.?key|secret.?access.?key)[ :=\"']{1,4}", "[^0-9A-Za-z/+=]"),
    (r"T[0-9A-Z]{6,14}/[0-9A-Za-z/]{16,}", SLACK_HOOK, None),
    (r"[^\s/:@]{3,100}", IN_URL, "@"),
)
"""Patterns of what is assigned, what must stand before them, and the set that must stand behind."""

PASSWORDS: Final = r"[^\s\"'`<>,;]{3,63}[^\s\"'`<>,;.\\]"
PASSWORD_ENDS: Final = r"[\s\"'`<>,;.\\]"
"""A word behind `password:`, and what stands behind it; a validator leaves the words of prose."""

ALWAYS: Final = ("",)
"""Every beginning of what is announced is hidden where a reply breaks off in it."""

BEARER: Final = with_digit(TOKEN, 16)
JWT: Final = r"eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]*"

BREAK: Final = r"(?:[\s>|\"',]|\\{1,4}[nrt])*"
PEM_NAME: Final = r"[A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
PEM_LINE: Final = r"(?:[0-9A-Za-z+/=]{16,}|(?:Proc-Type|DEK-Info|Comment|Version): [^\n\\]*)"
PEM: Final = (
    rf"-----BEGIN {PEM_NAME}(?:{BREAK}{PEM_LINE})*"
    # short lines are covered where the end stands behind them: without it they would be prose
    rf"(?:(?:{BREAK}[0-9A-Za-z+/=]+){{0,2}}{BREAK}-----END {PEM_NAME})?"
)
"""From its first line on, as long as what follows looks like base64; line breaks may be the escapes of JSON."""
