import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.serving.app import App
from deployments.serving.docs import laid_out
from deployments.serving.library import Library
from deployments.serving.watcher import Watcher
from tasks.contracts.artifacts import Gate

VOID = {"meta", "input", "br", "link"}


class Page(HTMLParser):
    """Collects a page's tags, links and text, and holds that every tag is closed."""

    def __init__(self, html):
        super().__init__()
        self.open, self.links, self.tags, self.words = [], [], [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src", "data-path")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(self.words)


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_is_whole_and_needs_no_network(ask, path):
    reply = ask("GET", path)
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    page = Page(reply.body)
    assert page.links
    assert all(link == "data:," or (link.startswith("/") and not link.startswith("//")) for link in page.links)
    assert not re.search(r"https?://", reply.body)


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_the_browser_is_told_to_run_only_our_script(ask, path):
    reply = ask("GET", path)
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    for tag in ("style", "script"):
        for content in re.findall(f"<{tag}>(.*?)</{tag}>", reply.body, re.DOTALL):
            digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
            assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "style=" not in reply.body


def test_the_landing_page_names_models_versions_candidates_and_figures(ask):
    page = Page(ask("GET", "/").body)
    for words in ("mixed", "numbers", "version 1 (journal entry 2)", "dense/none", "test 0.9831", "no gate was asked"):
        assert words in page.text
    assert {"/docs", "/openapi.json", "/docs#mixed", "/v2/models/mixed"} <= set(page.links)


def test_every_link_leads_somewhere(ask):
    for start in ("/", "/docs"):
        links = {link.split("#")[0] for link in Page(ask("GET", start).body).links} - {"data:,"}
        assert {ask("GET", link).status for link in links} <= {200, 405}
    anchors = set(re.findall(r'id="([^"]+)"', ask("GET", "/docs").body))
    assert {"mixed", "numbers", "image", "text"} <= anchors


def test_the_docs_hold_a_form_with_an_example_for_every_model(ask):
    page = ask("GET", "/docs").body
    for name in ("mixed", "numbers", "image", "text"):
        assert f'data-method="POST" data-path="/predict/{name}"' in page
    assert page.count("<textarea") == 12
    assert "&quot;city&quot;: &quot;Oslo&quot;" in page


leaves = st.none() | st.integers(-(2**63), 2**63 - 1) | st.text()


@given(st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_an_example_that_is_laid_out_is_still_the_same_json(value):
    assert json.loads(laid_out(value)) == value


def test_what_others_wrote_is_escaped(tiny, store):
    schema, graph, rows = tiny.mixed()
    evil = "<script>alert(1)</script>"
    features = (schema.features[0].model_copy(update={"nullable": True}), *schema.features[1:])
    made = (schema.model_copy(update={"features": features, "labels": (evil, "yes")}), graph, rows)
    gate = Gate(passed=True, reason=evil)
    tiny.publish(store, "mixed", "<b>1</b>", made, candidate=evil, gate=gate, metrics={evil: 1.0})
    library = Library()
    Watcher(store, library).look()
    app = App(library)
    for path in ("/", "/docs"):
        body = tiny.call(app, "GET", path).body
        assert evil not in body
        assert "<b>1</b>" not in body
        assert "&lt;script&gt;" in body


def test_the_landing_page_says_what_is_missing_and_what_was_refused(tiny, store):
    library = Library(["digits", "numbers"])
    tiny.publish(store, "numbers", "1", tiny.numbers(), tamper=b"x")
    Watcher(store, library, ["digits", "numbers"]).look()
    text = Page(tiny.call(App(library), "GET", "/").body).text
    assert "not ready: waiting for digits, numbers" in text
    assert "Not loaded yet." in text
    assert "Refused: " in text
    assert "is not what its digest says" in text


def test_the_landing_page_of_an_empty_bucket_says_so(tiny, store):
    library = Library()
    Watcher(store, library).look()
    assert "No model has a champion yet" in tiny.call(App(library), "GET", "/").body
