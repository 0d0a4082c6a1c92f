import shutil

import pytest

from deployments.serving.app import App
from deployments.serving.library import Library
from deployments.serving.watcher import Watcher
from tasks.contracts.manifest import File

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's Chromium is not installed: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser, http):
    """Opens a page of ours; whatever the browser complains about, or asks of another machine, fails the test."""
    complaints, asked = [], []
    page = browser.new_page()
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))

    def open_page(path):
        page.goto(str(http.base_url.join(path)))
        return page

    yield open_page
    page.close()
    assert [text for text in complaints if "the server responded with a status of 400" not in text] == []
    assert [url for url in asked if not url.startswith((str(http.base_url), "data:"))] == []


def test_the_example_of_the_docs_is_answered_when_it_is_sent(visit):
    page = visit("/docs")
    for name, word in [("mixed", '"label": "yes"'), ("numbers", '"value": 6'), ("text", '"label": "question"')]:
        form = page.locator(f'form[data-path="/predict/{name}"]')
        form.get_by_role("button", name="Send").click()
        answer = form.locator(":scope > pre")
        answer.get_by_text(word).wait_for(timeout=5000)
        assert answer.inner_text().startswith("200 OK")


def test_the_docs_show_an_error_as_the_server_words_it(visit):
    form = visit("/docs").locator('form[data-path="/predict/mixed"]')
    form.get_by_label("Request body").fill('{"inputs": [{"aeg": 1}]}')
    form.get_by_role("button", name="Send").click()
    form.locator(":scope > pre").get_by_text("did you mean 'age'?").wait_for(timeout=5000)


def section(page, name):
    return page.locator(f'section[data-model="{name}"]')


def test_the_status_page_leads_to_the_docs_of_a_model(visit):
    page = visit("/")
    assert page.get_by_role("heading", level=2).all_inner_texts() == ["image", "mixed", "numbers", "text"]
    section(page, "mixed").get_by_role("link", name="API of mixed").click()
    page.wait_for_url("**/docs#*")
    assert page.locator("h1").inner_text().startswith("Ingot serving")


def answer(page, name):
    part = section(page, name)
    part.get_by_role("button", name="Ask").click()
    part.locator('.answer[aria-busy="false"]').get_by_text("Answered by version 1").wait_for(timeout=5000)
    return part.locator(".said").inner_text()


def test_what_is_drawn_with_the_mouse_is_answered_and_cleared(visit):
    page = visit("/")
    assert answer(page, "image") == "Label: 0"
    pad = section(page, "image").locator("canvas.pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    page.mouse.move(box["x"] + 3, box["y"] + 3)
    page.mouse.down()
    for line in range(1, 9):
        across = box["width"] - 3 if line % 2 else 3
        page.mouse.move(box["x"] + across, box["y"] + box["height"] * line / 9, steps=5)
    page.mouse.up()
    assert answer(page, "image") == "Label: 1"
    assert section(page, "image").locator(".bars li").count() == 2
    section(page, "image").get_by_role("button", name="Clear").click()
    assert answer(page, "image") == "Label: 0"


def test_a_picture_can_be_painted_with_the_keyboard_and_taken_from_an_example(visit):
    page = visit("/")
    pad = section(page, "image").locator("canvas.pad")
    pad.focus()
    for row in ("ArrowUp", "ArrowDown"):
        page.keyboard.press(row)
        for key in ("ArrowLeft", "ArrowLeft", "ArrowLeft", "Space", "ArrowRight", "Space", "ArrowRight", "Space"):
            page.keyboard.press(key)
    assert answer(page, "image") == "Label: 1"
    section(page, "image").get_by_role("button", name="Example 1").click()
    assert answer(page, "image") == "Label: 0"
    section(page, "image").get_by_role("button", name="Example 2").click()
    assert answer(page, "image") == "Label: 1"


def test_fields_are_prefilled_and_an_empty_one_is_a_missing_value(visit):
    page = visit("/")
    assert answer(page, "mixed") == "Label: yes"
    section(page, "mixed").get_by_label("age").fill("")
    section(page, "mixed").get_by_label("city").fill("Bergen")
    assert answer(page, "mixed") == "Label: no"
    section(page, "text").get_by_label("text").fill("<b>what</b>")
    assert answer(page, "text") == "Label: statement"
    assert answer(page, "numbers") == "Value: 6"


def test_an_error_stands_beside_its_field_as_the_server_words_it(visit):
    page = visit("/")
    part = section(page, "mixed")
    field = part.get_by_label("height")
    beside = part.locator(".field", has=page.get_by_label("height"))
    field.fill("")
    part.get_by_role("button", name="Ask").click()
    words = beside.get_by_text("inputs[0].height is null, but must be a number")
    words.wait_for(timeout=5000)
    assert field.get_attribute("aria-invalid") == "true"
    field.fill("1e300")
    part.get_by_role("button", name="Ask").click()
    beside.get_by_text("a number of 32 bits").wait_for(timeout=5000)
    field.fill("1.8")
    answer(page, "mixed")
    assert field.get_attribute("aria-invalid") == "false"


def test_the_live_figures_follow_requests_without_a_reload(visit, http):
    page = visit("/")
    before = page.evaluate("performance.timeOrigin")
    refused = section(page, "text").locator('[data-live="refused"]')
    count = int(refused.inner_text())
    line = section(page, "text").locator("polyline").get_attribute("points")
    for _ in range(7):
        http.post("/predict/text", json={"inputs": []})
    refused.get_by_text(str(count + 7), exact=True).wait_for(timeout=10_000)
    assert section(page, "text").locator("polyline").get_attribute("points") != line
    assert section(page, "text").locator('[data-live="p99_ms"]').inner_text() != "-"
    assert page.evaluate("performance.timeOrigin") == before


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("path", ["/", "/docs"])
def test_no_page_scrolls_sideways(visit, path, width):
    page = visit(path)
    page.set_viewport_size({"width": width, "height": 800})
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_hostile_words_run_no_script(browser, tiny, store):
    evil = "<img src=x onerror=alert(1)></style><script>alert(1)</script>\"' \u202e" + "w" * 10_000
    schema, graph, rows = tiny.mixed()
    features = (schema.features[0], schema.features[1], schema.features[2])
    labels = ("<script>alert(2)</script>", "yes")
    made = (schema.model_copy(update={"features": features, "labels": labels}), graph, rows)
    files = (
        File(path="model.onnx", artifact=tiny.artifact_of(graph)),
        File(path="README.md", artifact=store.put_bytes(evil.encode())),
    )
    tiny.publish(store, "mixed", evil, made, candidate=evil, metrics={evil: 1.0}, files=files)
    library = Library()
    Watcher(store, library).look()
    app = App(library)
    with tiny.carried(app) as http:
        page, events = browser.new_page(viewport={"width": 390, "height": 800}), []
        page.on("dialog", lambda dialog: (events.append(dialog.message), dialog.dismiss()))
        page.on("console", lambda message: events.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: events.append(str(error)))
        page.goto(str(http.base_url))
        page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
        page.get_by_role("button", name="Ask").click()
        page.get_by_text("Answered by version").wait_for(timeout=5000)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.locator("main img, main script, main style").count() == 0
        page.close()
        assert events == []
    app.close()
