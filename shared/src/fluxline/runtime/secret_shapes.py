"""What credentials look like in text: one compiled pattern, and the cheap test that says it is worth running.

The test must not miss what the pattern would find; the tests plant every shape and prove it.
"""

import base64
import re
from binascii import Error as NotBase64
from typing import Final

REDACTED: Final = "[redacted]"
_WORDS = (
    r"token(?!iz)|secret|passw(?:or)?d|passphrase|authorization|api[ _-]?key|access[ _-]?key|private[ _-]?key"
    r"|signature|credential|cookie|ticket|jwt"
)
SECRET_NAME: Final = re.compile(rf"{_WORDS}|^auth$|^bearer$", re.I)
"""Names whose values are secrets, whatever these look like."""
COUNTED: Final = re.compile(r"tokens|_count$", re.I)
"""Names like `max_tokens`, whose values are secrets only where they are no numbers."""

_QUERY_NAMES = (
    r"x-amz-[a-z-]+|signature|key-pair-id|policy|credential|access_?key(?:_?id)?|token|ticket|secret|api_?key"
)
_QUERY = r"""(?:(?!%3[Ff])[^\s"'<>?])"""
_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_START = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrtbf])|(?<=%[0-9A-Fa-f]{2})|(?<=\\u[0-9a-fA-F]{4}))"
"""A token's first character follows no letter or digit, unless that ends an escape."""
_NUMBER_ENDS = r"(?!\d+(?:\.\d+)?(?:[\s,;&)}\]]|$))"

SHAPES: Final = re.compile(
    rf"""
    {_START}(?:
        (?:r8|hf)_(?:[A-Za-z0-9]+_){{0,3}}[A-Za-z0-9]{{14,}}              # Replicate, Hugging Face
        | tgp_(?:[A-Za-z0-9]+_){{0,3}}[A-Za-z0-9_-]{{14,}}                # Together
        | fl_[A-Za-z0-9]{{20,}} | whsec_[A-Za-z0-9+/=_-]{{8,}}            # our keys, Standard Webhooks
        | (?:gh[pousr]|github_pat)_[A-Za-z0-9_]{{20,}} | xox[abeprs]-[A-Za-z0-9-]{{10,}} | AIza[A-Za-z0-9_-]{{35}}
        | eyJ[A-Za-z0-9_-]{{8,}}(?:\.[A-Za-z0-9_-]*){{2,4}}               # JSON Web Tokens
        | {_UUID}:[0-9a-f]{{32}}                                          # fal
        | \d{{10}}\.[a-z0-9][a-z0-9_-]{{0,62}}\.[A-Za-z0-9_-]{{43}}(?![A-Za-z0-9_-])  # our tickets for live streams
        | v1a?,[A-Za-z0-9+/]{{40,}}={{0,2}}                               # signatures of Standard Webhooks
    )
    | (?:\?|%3[Ff])(?={_QUERY}{{0,4000}}?(?i:{_QUERY_NAMES})(?:=|%3[Dd]))[^\s"'<>?]+   # a query that is a credential
    | (?:\?|%3[Ff])(?=(?:{_QUERY}{{0,4000}}?(?:[&;]|u0026|%26))?(?i:sig)(?:=|%3[Dd]))[^\s"'<>?]+
    | (?:(?<=://)|(?<=:\\/\\/))[^/\s:@"'<>]{{0,200}}:[^/\s@"'<>]{{1,400}}(?=@)
    | (?<=/api/webhooks/)\d+/[A-Za-z0-9_.-]+                              # Discord
    | (?<=hooks\.slack\.com/)[A-Za-z]+/[A-Za-z0-9_/-]+
    | (?<=/bot)\d{{6,}}:[A-Za-z0-9_-]{{20,}}                              # Telegram
    | (?i:bearer)\s+(?=[^\s"']*(?:\d|[a-z][A-Z]|\w{{20}}))[A-Za-z0-9._~+/=-]{{8,}}
    | (?i:basic)\s+(?P<basic>[A-Za-z0-9+/_-]{{8,}}={{0,2}})
    | (?P<named>["'][\w.-]{{0,60}}(?i:{_WORDS})[\w.-]{{0,40}}\\*["']\s*:\s*(?P<quote>\\*["']))  # "name": "value"
      (?!\[redacted\])(?s:.{{1,8000}}?)(?<!\\)(?=(?P=quote)|\Z)
    | (?P<header>(?i:authorization|cookie)\s*[:=]\s*)(?:[A-Za-z0-9-]{{3,20}}\s+)?(?!\[redacted\])[^\s"'<>,;]{{6,}}
    | (?P<assigned>\b[\w-]{{0,40}}(?i:{_WORDS})[\w-]{{0,20}}(?:=|%3[Dd]))
      (?!\[redacted\]){_NUMBER_ENDS}[^\s&"'<>;,\\]{{6,}}
    | (?P<said>\b[\w-]{{0,40}}(?i:{_WORDS})\s?:\s?)(?!\[redacted\]|https?:|{_UUID}(?!:)){_NUMBER_ENDS}
      (?=[^\s"'<>]*\d)[^\s&"'<>;,\\]{{12,}}
    """,
    re.X,
)

_BLOCKS = re.compile(
    rf"""
    -----BEGIN[ ][A-Z ]{{0,30}}PRIVATE[ ]KEY-----
        (?:(?s:.{{0,8000}}?)-----END[ ][A-Z ]{{0,30}}PRIVATE[ ]KEY-----|[A-Za-z0-9+/=\s\\]{{0,8000}})
    | {_START}(?:AKIA|ASIA)[A-Z2-7]{{16}}(?![A-Za-z0-9])                  # AWS, with the secret that follows
        (?:(?:\\[nrt]|\W){{1,10}}(?:\w{{0,40}}(?i:secret)\w{{0,40}}\W{{1,6}})?[A-Za-z0-9/+]{{40}}(?![A-Za-z0-9/+]))?
    """,
    re.X,
)
"""What may go over several lines."""
_BLOCK_MARKS = ("PRIVATE KEY", "AKIA", "ASIA")

_TELLTALE = r"""
    k(?: (?<=tok)en | (?<=tick)et | (?<=cook)ie | (?<=hook)s | (?<=ak)ia
        | ey(?: -pair | (?<=(?:api|ess|ate)key) | (?<=(?:api|ess|ate)[\ _-]key) ) )
    | w(?: (?<=passw) | (?<=jw)t )
    | z(?: (?<=authoriz) | (?<=x-amz)- | (?<=aiz)a )
    | g(?<=sig)nature | l(?<=credential) | r(?<=bear)er\s
    | s(?: ecret | (?<=pas)sp | (?<=as)ia | (?<=bas)ic\s )
    | _(?: (?<=r8_) | (?<=hf_) | (?<=fl_) | (?<=tgp_) | (?<=whsec_) | (?<=gh[pousr]_) | (?<=_pat_) )
    | xox | y(?<=ey)j | b(?<=/b)ot\d | h(?<="auth)" | v1a?,
    | \.[a-z0-9_-]{43}(?![a-z0-9_-]) | :(?<=-[0-9a-f]{12}:)[0-9a-f]{32} | -----begin
"""
"""In lower-case text: something of every shape and name, sought by the rarest letter in it, for speed."""
_TELLTALE_CHARS: Final = "=@%\\\0"
"""Of assignments and queries, addresses, escapes (which hide the others), and UTF-16."""
_IN_TEXT, _IN_BYTES = re.compile(_TELLTALE, re.X), re.compile(_TELLTALE.encode(), re.X)


def may_match(text: str) -> bool:
    """Whether `SHAPES` or a secret's name could be in `text`; False is certain."""
    return any(char in text for char in _TELLTALE_CHARS) or _IN_TEXT.search(text.lower()) is not None


def may_match_bytes(data: bytes) -> bool:
    """The same of UTF-8, and of JSON in any encoding and with any escapes."""
    plain = data.translate(None, _TELLTALE_CHARS.encode())
    return len(plain) < len(data) or _IN_BYTES.search(data.lower()) is not None


def without_shapes(text: str) -> str:
    """`text` with every match replaced; names of what was taken out stay."""
    if any(mark in text for mark in _BLOCK_MARKS):
        text = _BLOCKS.sub(REDACTED, text)
    return "\n".join(SHAPES.sub(_replacement, line) if may_match(line) else line for line in text.split("\n"))


def _replacement(match: re.Match[str]) -> str:
    if (encoded := match["basic"]) is not None:
        return match[0].removesuffix(encoded) + REDACTED if _is_basic(encoded) else match[0]
    name = match["named"] or match["header"] or match["assigned"] or match["said"] or ""
    query = match[0][0] if match[0].startswith("?") else ""
    return f"{name}{query}{REDACTED}"


def _is_basic(encoded: str) -> bool:
    """RFC 7617: the Base64 of `user:password`."""
    try:
        return b":" in base64.b64decode(encoded.rstrip("=") + "=" * (-len(encoded.rstrip("=")) % 4), altchars=b"-_")
    except (NotBase64, ValueError):
        return False
