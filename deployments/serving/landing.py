"""The page at `/`: which models answer, with what, and where to go from here."""

from collections.abc import Sequence
from html import escape

from deployments.serving.exchange import Reply
from deployments.serving.library import Served, Shelf
from deployments.serving.page import framed


def page(shelves: Sequence[tuple[str, Shelf]], waits_for: Sequence[str]) -> Reply:
    """The landing page.

    Args:
        shelves: All followed models by name.
        waits_for: What is missing before the server is ready.
    """
    state = f"not ready: waiting for {escape(', '.join(waits_for))}" if waits_for else "ready"
    models = "".join(_model(name, shelf) for name, shelf in shelves)
    nothing = "<p>No model has a champion yet: publish one with <code>ingot run NAME</code>.</p>"
    links = '<a href="/docs">Try it</a> · <a href="/openapi.json">OpenAPI</a> · <a href="/v2/health/ready">Health</a>'
    return framed("Ingot serving", f"<h1>Ingot serving</h1><p>{state} · {links}</p>{models or nothing}")


def _model(name: str, shelf: Shelf) -> str:
    title = f'<h2 id="{escape(name)}">{escape(name)}</h2>'
    refusal = f'<p class="bad">Refused: {escape(shelf.last_refusal)}</p>' if shelf.last_refusal else ""
    if not shelf.served:
        return f"<section>{title}<p>Not loaded yet.</p>{refusal}</section>"
    return f"<section>{title}{_facts(shelf.served[0], shelf)}{refusal}</section>"


def _facts(served: Served, shelf: Shelf) -> str:
    manifest = served.manifest
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in sorted(manifest.metrics.items()))
    earlier = ", ".join(each.version for each in shelf.served[1:]) or "none"
    rows = {
        "Champion": f"version {served.version} (journal entry {served.seq})",
        "Candidate": manifest.candidate,
        "Figures": metrics or "none",
        "Gate": manifest.gate.reason,
        "Made": manifest.created_at,
        "Manifest": served.manifest_sha256,
        "Also loaded": earlier,
    }
    facts = "".join(f"<tr><th>{key}</th><td>{escape(value)}</td></tr>" for key, value in rows.items())
    name = escape(served.model)
    links = f'<a href="/docs#{name}">Try it</a> · <a href="/v2/models/{name}">Metadata</a>'
    return f"<table>{facts}</table><p>{links}</p>"
