"""A run started from the form in Prefect's own UI, with fields changed, in a real browser."""

import shutil
import time
from collections.abc import Iterator

import httpx
import pytest

from tasks.contracts.config import IngestConfig, RetrainConfig, TrainConfig

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MODEL = "from_the_form"
SHOWN_MS = 30_000
DONE_SECONDS = 180

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's Chromium is not installed: apt-get install chromium"),
]


@pytest.fixture
def page():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium.new_page(viewport={"width": 1280, "height": 1600})
        chromium.close()


@pytest.fixture
def form(page, stack) -> Iterator:
    """The page that the UI opens under *Run*, *Custom run*."""
    (found,) = asked(stack, "deployments/filter", {"deployments": {"name": {"any_": ["diabetes"]}}})
    page.goto(f"{stack.addresses.prefect_ui_url}/deployments/deployment/{found['id']}/run")
    page.get_by_role("button", name="Submit").wait_for(timeout=SHOWN_MS)
    return page


def asked(stack, path: str, body: dict) -> list[dict]:
    answer = httpx.post(f"{stack.addresses.prefect_api_url}/{path}", json=body)
    answer.raise_for_status()
    return answer.json()


def control(form, sentence: str):
    """The control of a field, by the help sentence that stands above it."""
    help_text = form.get_by_text(sentence, exact=True)
    help_text.wait_for(timeout=SHOWN_MS)
    return form.locator(".p-label", has=help_text).last.locator("input, textarea").first


def help_of(form_class, field: str) -> str:
    return str(form_class.model_fields[field].description)


def runs_of(stack, model: str) -> list[dict]:
    """Newest first."""
    runs = asked(stack, "flow_runs/filter", {"sort": "EXPECTED_START_TIME_DESC"})
    return [run for run in runs if run["parameters"].get("config", {}).get("model_name") == model]


def ended(stack, model: str) -> dict:
    deadline = time.monotonic() + DONE_SECONDS
    while time.monotonic() < deadline:
        found = runs_of(stack, model)
        if found and found[0]["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
            return found[0]
        time.sleep(1)
    raise AssertionError(f"no run of {model} has ended: {runs_of(stack, model)}")


def test_a_changed_field_reaches_the_run_and_mlflow(form, stack):
    epochs = control(form, help_of(TrainConfig, "epochs"))
    assert epochs.input_value() == "60", "the deployment's own value is filled in"
    epochs.fill("3")
    control(form, help_of(RetrainConfig, "model_name")).fill(MODEL)
    epochs.scroll_into_view_if_needed()
    form.get_by_role("button", name="Submit").click()
    form.wait_for_url(lambda url: not url.endswith("/run"), timeout=SHOWN_MS)
    run = ended(stack, MODEL)
    assert run["state_type"] == "COMPLETED", run["state"]
    config = run["parameters"]["config"]
    assert (config["train"]["epochs"], config["train"]["hidden_sizes"]) == (3, [32, 16])
    client = stack.mlflow()
    (version,) = client.search_model_versions(f"name = '{MODEL}'")
    params = client.get_run(version.run_id).data.params
    assert (params["train.epochs"], params["train.optimizer"]) == ("3", "adam")


def test_a_password_typed_into_the_form_is_refused_and_stored_nowhere(form, stack):
    typed = "https://ann:typed-by-mistake@host/rows.csv"
    control(form, help_of(IngestConfig, "source")).fill(typed)
    form.get_by_role("button", name="Submit").click()
    form.get_by_text("does not match").first.wait_for(timeout=SHOWN_MS)
    assert form.url.endswith("/run")
    assert "typed-by-mistake" not in str(asked(stack, "flow_runs/filter", {}))
