"""The frame of our pages: one file each, no address but our own in it, so they work on a machine without a network."""

import base64
import hashlib
from html import escape
from pathlib import Path
from typing import Literal

from deployments.serving.reply import Reply

Script = Literal["docs.js", "live.js", "try.js"]

_ASSETS = Path(__file__).parent / "assets"
_STYLE = (_ASSETS / "page.css").read_text()
_SCRIPTS: dict[Script, str] = {
    "docs.js": (_ASSETS / "docs.js").read_text(),
    "live.js": (_ASSETS / "live.js").read_text(),
    "try.js": (_ASSETS / "try.js").read_text(),
}
_PLACES = {
    "/": "Models",
    "/docs": "API",
    "/openapi.json": "OpenAPI",
    "/metrics": "Metrics",
    "/v2/health/ready": "Health",
}
_CURRENT = ' aria-current="page"'


def framed(title: str, body: str, *, here: str, scripts: tuple[Script, ...] = ()) -> Reply:
    """A whole page.

    The browser is told to run nothing but our own scripts, by their digests: a model's name or card can never become
    code.

    Args:
        title: Plain text.
        body: HTML; whoever makes it escapes what is not ours.
        here: The page's path, for the navigation.
        scripts: What of ours the page runs.
    """
    code = "".join(f"<script>{_SCRIPTS[name]}</script>" for name in scripts)
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<style>{_STYLE}</style></head><body>{_navigation(here)}<main>{body}</main>{code}</body></html>"
    )
    allowed = " ".join(f"'{_digest(_SCRIPTS[name])}'" for name in scripts) or "'none'"
    policy = (
        f"default-src 'none'; connect-src 'self'; img-src data:; style-src '{_digest(_STYLE)}'; "
        f"script-src {allowed}; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
    )
    headers = (
        (b"content-security-policy", policy.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-store"),
    )
    return Reply(html.encode(errors="replace"), media_type=b"text/html; charset=utf-8", headers=headers)


def _navigation(here: str) -> str:
    links = "".join(f'<a href="{path}"{_CURRENT if path == here else ""}>{name}</a>' for path, name in _PLACES.items())
    return f'<header><nav aria-label="Pages"><b>Ingot</b>{links}</nav></header>'


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
