"""Links of a run in the Prefect UI: to its MLflow run and version, its manifest, the server, and its model card."""

import os
from collections.abc import Mapping
from urllib.parse import quote

from prefect.artifacts import create_link_artifact, create_markdown_artifact

from tasks.contracts.version import ModelVersion
from tasks.exporters.ui_report import key_of, leave

SERVING_PORT = "8080"


def show_version(version: ModelVersion, card: str, run_url: str) -> None:
    """Leave the card and the links of a version that was published; nothing where no task run is under way."""
    key, title = key_of(version.model), f"{version.model} version {version.version}"
    leave(create_markdown_artifact, key=f"{key}-card", markdown=card, description=f"Model card of {title}")
    places = links(version, run_url, os.environ)
    for what, url in places.items():
        if url.startswith(("http://", "https://")):
            leave(create_link_artifact, key=f"{key}-{what}", link=url, link_text=f"{title}: {what}", description=title)
    lines = [f"* **{what}**: {_shown(url)}" for what, url in places.items() if url]
    page = "\n".join([f"# {title}", "", *lines])
    leave(create_markdown_artifact, key=f"{key}-links", markdown=page, description=title)


def links(version: ModelVersion, run_url: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Where to look, by what is there.

    Args:
        version: What was published.
        run_url: The page of its run in MLflow.
        environment: INGOT_SERVING_HOST and _PORT say where it is served.
    """
    scheme = "https" if environment.get("INGOT_TLS_CERT") else "http"
    host = environment.get("INGOT_SERVING_HOST") or "127.0.0.1"
    server = f"{scheme}://{host}:{environment.get('INGOT_SERVING_PORT') or SERVING_PORT}"
    return {
        "mlflow-run": run_url,
        "mlflow-version": version.mlflow_version_url,
        "manifest": version.manifest_uri,
        "server": f"{server}/v2/models/{quote(version.model)}",
    }


def _shown(url: str) -> str:
    return f"[{url}]({url})" if url.startswith(("http://", "https://")) else f"`{url}`"
