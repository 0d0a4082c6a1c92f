"""The page at `/`: each model's champion, how it fares now, a form to try it, its card and its history."""

from collections.abc import Sequence
from html import escape

from deployments.serving.card import as_html
from deployments.serving.facts import facts, moment, table
from deployments.serving.library import Served, Shelf
from deployments.serving.live import SECONDS, Figures, Live
from deployments.serving.page import framed
from deployments.serving.reply import Reply
from deployments.serving.try_it import try_form
from tasks.contracts.manifest import JournalEntry

_SPARK_HEIGHT = 20
_LONGEST_REASON = 300
_NOTHING = "-"
"""Where there is no number yet."""


def page(shelves: Sequence[tuple[str, Shelf]], waits_for: Sequence[str], live: Live) -> Reply:
    """The status page.

    Args:
        shelves: All followed models by name.
        waits_for: What is missing before the server is ready.
        live: Where requests are counted.
    """
    state = f"not ready: waiting for {escape(', '.join(waits_for))}" if waits_for else "ready"
    badge = f'<p class="state {"waits" if waits_for else "ready"}" data-state role="status">{state}</p>'
    models = "".join(_model(number, name, shelf, live) for number, (name, shelf) in enumerate(shelves))
    nothing = "<p>No model has a champion yet: publish one with <code>ingot run NAME</code>.</p>"
    body = f'<div class="title"><h1>Ingot serving</h1>{badge}</div>{_contents(shelves)}{models or nothing}'
    return framed("Ingot serving", body, here="/", scripts=("live.js", "try.js"))


def _contents(shelves: Sequence[tuple[str, Shelf]]) -> str:
    if len(shelves) < 2:
        return ""
    links = "".join(f'<li><a href="/#{escape(name)}">{escape(name)}</a></li>' for name, _ in shelves)
    return f'<nav aria-label="Models"><ul class="contents">{links}</ul></nav>'


def _model(number: int, name: str, shelf: Shelf, live: Live) -> str:
    safe = escape(name)
    title = f'<div class="title"><h2 id="{safe}">{safe}</h2>{_badge(shelf)}</div>'
    refusal = f'<p class="bad" dir="auto">Refused: {escape(shelf.last_refusal)}</p>' if shelf.last_refusal else ""
    if not shelf.served:
        body = f"<p>Not loaded yet.</p>{refusal}{_history(shelf)}"
        return f'<section data-model="{safe}" data-seq="">{title}{_news()}{body}</section>'
    champion = shelf.served[0]
    return (
        f'<section data-model="{safe}" data-seq="{champion.seq}">{title}{_news()}{refusal}'
        f'<div class="columns"><div>{table(facts(champion, shelf))}</div>{_live(live.figures(name))}</div>'
        f"<h3>Try it</h3>{try_form(champion, number)}"
        f"{_card(champion)}{_history(shelf)}{_rest(champion)}</section>"
    )


def _badge(shelf: Shelf) -> str:
    if shelf.served:
        return '<p class="state ready">ready</p>'
    return f'<p class="state waits">{"refused" if shelf.last_refusal else "not ready"}</p>'


def _news() -> str:
    return '<p class="news" data-news hidden role="status"></p>'


def _live(figures: Figures) -> str:
    numbers = {
        "rate": ("requests/s", f"{figures.rate:.1f}"),
        "p50_ms": ("p50, ms", _milliseconds(figures.p50_ms)),
        "p95_ms": ("p95, ms", _milliseconds(figures.p95_ms)),
        "p99_ms": ("p99, ms", _milliseconds(figures.p99_ms)),
        "refused": ("refused (4xx)", str(figures.refused)),
        "failed": ("failed (5xx)", str(figures.failed)),
    }
    cells = "".join(
        f'<div><dt>{said}</dt><dd data-live="{key}">{value}</dd></div>' for key, (said, value) in numbers.items()
    )
    return (
        f'<div class="live"><h3>Last minute, in this process</h3><dl>{cells}</dl>'
        f'<svg class="spark" viewBox="0 0 {SECONDS - 1} {_SPARK_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="Requests in each of the last {SECONDS} seconds">'
        f'<polyline data-live="per_second" points="{_points(figures.per_second)}"/></svg></div>'
    )


def _milliseconds(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _points(per_second: Sequence[int]) -> str:
    """A line of the counts, the highest at the top; the same as the script draws."""
    highest = max(1, *per_second)
    return " ".join(
        f"{x},{_SPARK_HEIGHT - 1 - count / highest * (_SPARK_HEIGHT - 2):.1f}" for x, count in enumerate(per_second)
    )


def _card(served: Served) -> str:
    card = as_html(served.card) if served.card else "<p>This version has no card.</p>"
    return f'<details><summary>Model card</summary><div class="card" dir="auto">{card}</div></details>'


def _history(shelf: Shelf) -> str:
    if not shelf.journal and not shelf.served:
        return ""
    loaded = "".join(
        f"<li>version {escape(each.version)} (journal entry {each.seq}){', the champion' if not place else ''}</li>"
        for place, each in enumerate(shelf.served)
    )
    versions = f"<h4>Loaded now</h4><ul>{loaded}</ul>" if loaded else ""
    rows = "".join(_entry(entry) for entry in reversed(shelf.journal))
    head = "".join(f'<th scope="col">{name}</th>' for name in ("entry", "what", "version", "when", "who", "why"))
    journal = (
        '<h4>Journal</h4><div class="scroll" role="region" aria-label="Journal" tabindex="0">'
        f'<table class="rows"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        '<p class="soft">The newest entries, as they stood when the champion last moved.</p>'
    )
    return f"<details><summary>Versions and journal</summary>{versions}{journal if rows else ''}</details>"


def _entry(entry: JournalEntry) -> str:
    reason = entry.reason if len(entry.reason) <= _LONGEST_REASON else entry.reason[:_LONGEST_REASON] + "…"
    cells = (str(entry.seq), entry.action, entry.version, moment(entry.time), entry.actor, reason)
    return "<tr>" + "".join(f'<td dir="auto">{escape(cell)}</td>' for cell in cells) + "</tr>"


def _rest(served: Served) -> str:
    name, manifest = escape(served.model), served.manifest
    figures = {
        key: f"{value:,.0f}" if value.is_integer() else f"{value:.4g}"
        for key, value in sorted(manifest.metrics.items())
    }
    lineage = {
        "manifest": served.manifest_sha256,
        **{key.replace("_", " "): str(value) for key, value in manifest.lineage.model_dump().items() if value != ""},
    }
    return (
        f"<details><summary>All figures and where it comes from</summary>{table(figures)}{table(lineage)}</details>"
        f'<p class="links"><a href="/docs#{name}">API of {name}</a> <a href="/v2/models/{name}">Metadata</a></p>'
    )
