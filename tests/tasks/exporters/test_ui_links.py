from tasks.contracts.version import ModelVersion
from tasks.exporters.ui_links import links

VERSION = ModelVersion(
    model="a shop", version="3", status="published", manifest_uri="s3://b/m.json", mlflow_version_url="http://m/3"
)


def test_the_server_is_where_the_environment_says():
    somewhere = {"INGOT_SERVING_HOST": "models.example", "INGOT_SERVING_PORT": "443", "INGOT_TLS_CERT": "c.pem"}
    assert links(VERSION, "http://m/r", somewhere) == {
        "mlflow-run": "http://m/r",
        "mlflow-version": "http://m/3",
        "manifest": "s3://b/m.json",
        "server": "https://models.example:443/v2/models/a%20shop",
    }
    assert links(VERSION, "", {})["server"] == "http://127.0.0.1:8080/v2/models/a%20shop"
