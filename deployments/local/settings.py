"""Every INGOT_* variable in one form, and the three addresses that decide which parts are embedded."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from deployments.local.home import Home
from tasks.contracts.errors import ConfigError
from tasks.contracts.explain import explain

Port = Annotated[int, Field(ge=1024, le=65535)]
GRPC_OFFSET = 10_000
S3_INNER_PARTS = ("master", "volume", "filer", "admin")
WHERE_PASSWORDS_GO = {
    "PREFECT_API_URL": "PREFECT_API_AUTH_STRING, as user:password",
    "MLFLOW_TRACKING_URI": "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, for a database PGPASSWORD",
    "AWS_ENDPOINT_URL": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
}


class Settings(BaseSettings):
    """Where things are: read from the environment."""

    model_config = SettingsConfigDict(
        env_prefix="INGOT_", frozen=True, extra="ignore", env_ignore_empty=True, use_attribute_docstrings=True
    )

    home: Path = Path(".ingot")
    """Folder of the embedded stack's state."""
    prefect_port: Port = 4200
    """Port of the embedded Prefect server and its UI."""
    mlflow_port: Port = 5000
    """Port of the embedded MLflow server."""
    s3_port: Annotated[int, Field(ge=1024, le=65535 - GRPC_OFFSET - len(S3_INNER_PARTS))] = 8333
    """Port of the embedded S3; the next four, and all five plus 10000, are taken as well."""
    serving_host: str = "127.0.0.1"
    """Interface the serving process listens on."""
    serving_port: Port = 8080
    """Port of the serving process."""
    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")] = "ingot"
    """The bucket that holds everything."""
    signing_key: str = ""
    """Your own key to sign with; empty lets the embedded stack make one."""
    trusted_keys: str = ""
    """Whose signatures count; empty trusts the key that signs."""
    up_timeout_seconds: Annotated[float, Field(gt=0)] = 180.0
    """Longest wait of `ingot up` for all parts to be healthy."""
    silent_seconds: Annotated[int, Field(ge=60)] = 300
    """How long a run gives no sign of life before it counts as dead; it gives one every 30 s."""
    prefect_api_url: str = Field(default="", validation_alias="PREFECT_API_URL")
    """Your own Prefect server; empty embeds one."""
    mlflow_tracking_uri: str = Field(default="", validation_alias="MLFLOW_TRACKING_URI")
    """Your own MLflow server; empty embeds one."""
    s3_endpoint_url: str = Field(default="", validation_alias="AWS_ENDPOINT_URL")
    """Your own S3; empty embeds one."""

    @model_validator(mode="after")
    def _no_port_is_given_twice(self) -> "Settings":
        names: dict[int, str] = {}
        for name, port in self.ports.items():
            if port in names:
                raise ValueError(f"{name} is {port}, but must differ from {names[port]}: choose another port")
            names[port] = name
        return self

    @model_validator(mode="after")
    def _no_address_holds_a_password(self) -> "Settings":
        addresses = (self.prefect_api_url, self.mlflow_tracking_uri, self.s3_endpoint_url)
        for (name, place), address in zip(WHERE_PASSWORDS_GO.items(), addresses, strict=True):
            if "@" in urlsplit(address).netloc and ":" in urlsplit(address).netloc.rpartition("@")[0]:
                raise ValueError(f"{name} holds a password, but addresses are shown to all: put it into {place}")
        return self

    @property
    def place(self) -> Home:
        """The folder, as an absolute path."""
        return Home(self.home.expanduser().absolute())

    @property
    def s3_ports(self) -> dict[str, int]:
        """The ports SeaweedFS listens on beside its S3 port, by the name of its inner part."""
        return {name: self.s3_port + 1 + i for i, name in enumerate(S3_INNER_PARTS)}

    @property
    def ports(self) -> dict[str, int]:
        """Every port the embedded parts need, by the variable it comes from."""
        ports = {"INGOT_SERVING_PORT": self.serving_port}
        if not self.prefect_api_url:
            ports["INGOT_PREFECT_PORT"] = self.prefect_port
        if not self.mlflow_tracking_uri:
            ports["INGOT_MLFLOW_PORT"] = self.mlflow_port
        if not self.s3_endpoint_url:
            inner = {f"INGOT_S3_PORT ({name})": port for name, port in self.s3_ports.items()}
            ports |= {"INGOT_S3_PORT": self.s3_port} | inner
            grpc = {"INGOT_S3_PORT": self.s3_port} | inner
            ports |= {f"{name} gRPC": port + GRPC_OFFSET for name, port in grpc.items()}
        return ports


def read_settings() -> Settings:
    """The settings of this process.

    Raises:
        ConfigError: A variable has a value it cannot have; the message names the variable.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise ConfigError(explain(error, Settings, _variable)) from error


def _variable(field: str) -> str:
    return f"INGOT_{field.upper()}" if field in Settings.model_fields else field
