"""A version's card: Markdown that somebody else wrote, made into HTML that can do nothing.

HTML in it is text, an image is its description, a link leads to http or https or is text. Headings are moved below
the page's own.
"""

from collections.abc import Sequence
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererHTML
    from markdown_it.token import Token

LONGEST_CARD_BYTES = 64 * 1024
_HEADINGS_BELOW = 2
_SAFE = ("https://", "http://")


@lru_cache(maxsize=16)
def as_html(card: str) -> str:
    """The card as HTML.

    Args:
        card: Markdown, in CommonMark with tables.
    """
    return str(_markdown().render(card))


@lru_cache(maxsize=1)
def _markdown() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    markdown = MarkdownIt("commonmark", {"html": False, "maxNesting": 20}).enable("table")
    for name, rule in _RULES.items():
        markdown.add_render_rule(name, rule)
    return markdown


def _heading(renderer: "RendererHTML", tokens: "Sequence[Token]", index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    level = min(6, int(token.tag[1:]) + _HEADINGS_BELOW)
    return f"<h{level}>" if token.nesting == 1 else f"</h{level}>\n"


def _image(renderer: "RendererHTML", tokens: "Sequence[Token]", index: int, options: Any, env: Any) -> str:
    described = renderer.renderInlineAsText(tokens[index].children, options, env)
    return f"[image: {escape(described)}]"


def _link_open(renderer: "RendererHTML", tokens: "Sequence[Token]", index: int, options: Any, env: Any) -> str:
    address = str(tokens[index].attrGet("href") or "")
    if not address.lower().startswith(_SAFE):
        return "<span>"
    return f'<a href="{escape(address)}" rel="noopener noreferrer nofollow">'


def _link_close(renderer: "RendererHTML", tokens: "Sequence[Token]", index: int, options: Any, env: Any) -> str:
    opening = next(token for token in reversed(tokens[:index]) if token.type == "link_open")  # links do not nest
    return "</a>" if str(opening.attrGet("href") or "").lower().startswith(_SAFE) else "</span>"


def _table_open(renderer: "RendererHTML", tokens: "Sequence[Token]", index: int, options: Any, env: Any) -> str:
    return '<div class="scroll" role="region" aria-label="Table of the card" tabindex="0"><table>\n'


def _table_close(renderer: "RendererHTML", tokens: "Sequence[Token]", index: int, options: Any, env: Any) -> str:
    return "</table></div>\n"


def _cell(renderer: "RendererHTML", tokens: "Sequence[Token]", index: int, options: Any, env: Any) -> str:
    return f"<{tokens[index].tag}>"  # without the style that aligns it: the page allows no such attribute


_RULES = {
    "heading_open": _heading,
    "heading_close": _heading,
    "image": _image,
    "link_open": _link_open,
    "link_close": _link_close,
    "table_open": _table_open,
    "table_close": _table_close,
    "th_open": _cell,
    "td_open": _cell,
}
