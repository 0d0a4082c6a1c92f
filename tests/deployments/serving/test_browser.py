import shutil

import pytest

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


def test_the_landing_page_leads_to_the_form_of_a_model(visit):
    page = visit("/")
    assert page.get_by_role("heading", level=2).all_inner_texts() == ["image", "mixed", "numbers", "text"]
    page.locator("section", has_text="mixed").first.get_by_role("link", name="Try it").click()
    page.wait_for_url("**/docs#*")
    assert page.locator("h1").inner_text().startswith("Ingot serving")
