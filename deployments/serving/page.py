"""The frame of our pages: one file each, no address but our own in it, so they work on a machine without a network."""

import base64
import hashlib
from html import escape
from pathlib import Path

from deployments.serving.exchange import Reply

_ASSETS = Path(__file__).parent / "assets"
_STYLE = (_ASSETS / "page.css").read_text()
_SCRIPT = (_ASSETS / "docs.js").read_text()


def framed(title: str, body: str, *, scripted: bool = False) -> Reply:
    """A whole page.

    The browser is told to run nothing but our one script, by its digest: a model's name or card can never become code.

    Args:
        title: Plain text.
        body: HTML; whoever makes it escapes what is not ours.
        scripted: Whether the page has forms to try.
    """
    script = f"<script>{_SCRIPT}</script>" if scripted else ""
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<style>{_STYLE}</style></head><body><main>{body}</main>{script}</body></html>"
    )
    policy = (
        f"default-src 'none'; connect-src 'self'; img-src data:; style-src '{_digest(_STYLE)}'; "
        f"script-src '{_digest(_SCRIPT)}'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
    )
    headers = ((b"content-security-policy", policy.encode()), (b"x-content-type-options", b"nosniff"))
    return Reply(html.encode(), media_type=b"text/html; charset=utf-8", headers=headers)


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
