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
from tasks.contracts.artifacts import Artifact
from tasks.contracts.manifest import File
from tasks.contracts.verdict import Gate

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

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

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
    assert {"/", "/docs", "/openapi.json", "/metrics"} <= set(page.links)
    assert not re.search(r"https?://", reply.body)


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_the_browser_is_told_to_run_only_our_script(ask, path):
    reply = ask("GET", path)
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    for tag in ("style", "script"):
        for content in re.findall(f"<{tag}>(.*?)</{tag}>", reply.body, re.DOTALL):
            digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
            (allowed,) = re.findall(f"{tag}-src ([^;]*);", policy)
            assert f"'sha256-{digest}'" in allowed.split()
    assert not re.search(r"<[^>]* (style|on[a-z]+)=", reply.body)


def test_the_landing_page_names_models_versions_candidates_and_figures(ask):
    page = Page(ask("GET", "/").body)
    for words in ("mixed", "numbers", "version 1 (journal entry 2)", "dense/none", "0.9831", "no gate was asked"):
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


CARD = """# The card <script>alert(1)</script>

Reads **well**. [in](/docs) [out](https://example.org/a) [evil](javascript:alert(1)) ![a picture](http://e.org/p.png)

| a | b |
|---|--:|
| 1 | 2 |
"""


def carded(tiny, store, name, card, **changes):
    made = tiny.numbers()
    graph = File(path="model.onnx", artifact=tiny.artifact_of(made[1]))
    artifact = card if isinstance(card, Artifact) else store.put_bytes(card.encode())
    return tiny.publish(store, name, "1", made, files=(graph, File(path="README.md", artifact=artifact)), **changes)


def shown(tiny, store):
    library = Library()
    Watcher(store, library).look()
    return library, tiny.call(App(library), "GET", "/").body


def test_the_card_is_shown_and_can_do_nothing(tiny, store):
    carded(tiny, store, "numbers", CARD)
    _, body = shown(tiny, store)
    assert "<h3>The card &lt;script&gt;alert(1)&lt;/script&gt;</h3>" in body
    assert "<strong>well</strong>" in body
    assert "[image: a picture]" in body
    assert '<a href="https://example.org/a" rel="noopener noreferrer nofollow">out</a>' in body
    assert "<span>in</span>" in body
    assert "<td>2</td>" in body
    assert "<img" not in body
    assert 'href="javascript' not in body
    Page(body)


@pytest.mark.parametrize("spoil", ["missing", "broken", "too long", "not told how long"])
def test_a_card_that_cannot_be_had_never_stops_serving(tiny, store, spoil):
    content = "x" * (65 * 1024) if spoil in ("too long", "not told how long") else "# card"
    artifact = store.put_bytes(content.encode())
    if spoil == "missing":
        del store.objects[f"blobs/sha256/{artifact.sha256}"]
    if spoil == "broken":
        store.objects[f"blobs/sha256/{artifact.sha256}"] = b"something else"
    if spoil == "not told how long":
        artifact = artifact.model_copy(update={"size_bytes": 10})
    carded(tiny, store, "numbers", artifact)
    library, body = shown(tiny, store)
    assert library.find("numbers").version == "1"
    assert library.find("numbers").card == ""
    assert "This version has no card." in body


def test_the_figures_have_names_and_units(tiny, store):
    metrics = {"test_rmse": 54.321, "metric": 55.0, "metric_low": 50.0, "metric_high": 60.0, "p95_ms": 0.0123}
    tiny.publish(store, "numbers", "1", tiny.numbers(), metrics=metrics)
    metrics = {"test_accuracy": 0.9722, "compression_rate_bytes": 0.75}
    tiny.publish(store, "image", "1", tiny.image(), metrics=metrics)
    text = Page(shown(tiny, store)[1]).text
    for words in (
        "Root mean squared error, test rows 54.32",
        "Root mean squared error, validation rows 55 (50 to 60 at 95 %)",
        "0.0123 ms (p95)",
        "Accuracy, test rows 97.22 %",
        "75 % fewer than dense fp32",
        "passed: no gate was asked for",
        "Made 2026-11-21 00:00 UTC",
    ):
        assert words in text


def test_the_page_tells_the_newest_entries_of_the_journal_and_what_is_loaded(tiny, store):
    for version in range(1, 16):
        tiny.publish(store, "numbers", str(version), tiny.numbers(float(version)))
    library, body = shown(tiny, store)
    assert [entry.seq for entry in library.shelf("numbers").journal] == list(range(11, 31))
    text = Page(body).text
    assert "version 15 (journal entry 30), the champion" in text
    assert re.search(r"30 promote 15 \d{4}-\d\d-\d\d \d\d:\d\d UTC test test", text)
    assert "Since" in text


def test_hostile_words_of_any_kind_stay_text(tiny, store):
    evil = "</style></script><script>alert(1)</script>\"' onload=x \u202e" + "w" * 10_000
    schema, graph, rows = tiny.mixed()
    gate = Gate(passed=True, reason=evil)
    tiny.publish(store, "mixed", evil, (schema, graph, rows), candidate=evil, gate=gate, metrics={evil: 1.0})
    carded(tiny, store, "numbers", evil)
    body = shown(tiny, store)[1]
    Page(body)
    assert "<script>alert" not in body
    assert body.count("</style>") == 1
    assert body.count("<script>") == 2


def test_the_last_minute_is_counted_per_model_and_told_as_json(tiny, store):
    tiny.publish(store, "numbers", "1", tiny.numbers())
    tiny.publish(store, "text", "1", tiny.text())
    library = Library()
    Watcher(store, library).look()
    app = App(library)
    for body in ({"inputs": [{"a": 1, "b": 2}]}, {"inputs": [{"a": 1, "b": None}]}, {"inputs": []}):
        tiny.call(app, "POST", "/predict/numbers", body)
    tiny.call(app, "POST", "/predict/nobody", {})
    status = tiny.call(app, "GET", "/status.json").body
    assert (status["ready"], status["waits_for"]) == (True, [])
    numbers, text = status["models"]
    assert (numbers["name"], numbers["version"], numbers["seq"]) == ("numbers", "1", 2)
    minute = numbers["last_minute"]
    assert (minute["requests"], minute["refused"], minute["failed"]) == (3, 1, 0)
    assert sum(minute["per_second"]) == 3
    assert 0 < minute["p50_ms"] <= minute["p95_ms"] <= minute["p99_ms"]
    assert text["last_minute"]["requests"] == 0
    assert text["last_minute"]["p50_ms"] is None
    page = tiny.call(app, "GET", "/").body
    assert '<dd data-live="refused">1</dd>' in page


def test_nothing_that_is_asked_of_a_stranger_takes_memory(tiny, store):
    library = Library()
    app = App(library)
    tiny.call(app, "POST", "/predict/nobody", {})
    assert tiny.call(app, "GET", "/status.json").body["models"] == []
