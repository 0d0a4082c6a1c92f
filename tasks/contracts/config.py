"""The forms: what a retraining does, one form a step.

`RetrainConfig` is the parameter of the flow, hence the form in the Prefect UI; the sentence under a field is its help
text there. Every default works on `data/digits.parquet`.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from tasks.contracts.secrets import OPEN, open_address

ModelName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Share = Annotated[float, Field(ge=0, lt=1)]
KnownFormat = Literal["csv", "parquet", "jsonl", "npz", "idx", "images", "text"]
Format = Literal["auto", KnownFormat]
Open = (AfterValidator(open_address), Field(json_schema_extra={"pattern": OPEN}))
Address = Annotated[str, *Open]
"""Where a source lies, told without a secret; Prefect's server holds the pattern against what is typed."""


class Form(BaseModel):
    """A frozen set of choices; unknown fields are refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        # What was typed by mistake may be a password, and an error is logged.
        hide_input_in_errors=True,
    )


class IngestConfig(Form):
    """Where the data lie and how they are split."""

    source: Annotated[str, Field(min_length=1), *Open] = "data/digits.parquet"
    """A path, s3:// or http(s):// address of a file or a folder; env://INGOT_SOURCE_SALES takes it from there."""
    format: Format = "auto"
    """How the source is written; auto looks at names and first bytes."""
    target: str = ""
    """The column to predict; empty takes 'label', else 'target', else the last column."""
    task: Literal["auto", "classification", "regression"] = "auto"
    """What kind of answer; auto regards whole numbers of at most 100 values, words and booleans as classes."""
    features: tuple[str, ...] = ()
    """The columns to predict from; empty takes all others."""
    exclude: tuple[str, ...] = ()
    """Columns to leave out."""
    missing: Literal["error", "mean", "drop"] = "error"
    """What to do with empty cells: refuse the data, fill with the training mean, or drop the row."""
    scaling: Literal["standard", "unit", "none"] = "standard"
    """How numbers and pixels reach the network: centred and scaled, pixels as 0 to 1, or both as they are."""
    contract: Literal["refuse", "quarantine", "ignore"] = "refuse"
    """Rows that break the champion's schema: refuse the data, or put them aside; ignore changes it on purpose."""
    max_quarantine_share: Share = 0.1
    """Under contract=quarantine: refuse the data all the same if a larger share of the rows breaks the contract."""
    split_by: Literal["random", "hash", "time", "given"] = "random"
    """How rows find their side: by seed, by content (stable when data are appended), by time, or as the source says."""
    time_column: str = ""
    """The column that orders the rows under split_by=time: the latest are the test split."""
    validation_share: Share = 0.15
    """Share of the rows that choose between candidates."""
    test_share: Share = 0.15
    """Share of the rows that are read once, for the winner."""
    max_bytes: Annotated[int, Field(gt=0)] = 100 * 2**30
    """Refuse sources larger than this, in bytes."""

    @model_validator(mode="after")
    def _rows_are_left_to_train_on(self) -> "IngestConfig":
        held_out = self.validation_share + self.test_share
        if held_out >= 1:
            raise ValueError(
                f"validation_share + test_share is {held_out:g}, but must be below 1: rows to train on must be left"
            )
        if self.split_by == "time" and not self.time_column:
            raise ValueError("time_column is empty, but split_by=time needs one: name the column that orders the rows")
        return self

    @model_validator(mode="after")
    def _means_are_known_where_they_fill(self) -> "IngestConfig":
        if self.missing == "mean" and self.scaling != "standard":
            raise ValueError(
                f"missing is mean, but scaling {self.scaling} keeps no means: "
                "set missing to drop, or scaling to standard"
            )
        return self


class TrainConfig(Form):
    """Which network is trained, and how."""

    family: Literal["linear", "mlp", "cnn", "resnet", "rnn", "transformer", "custom", "pretrained"] = "mlp"
    """The architecture; custom calls the function at import_path, pretrained takes the model at source as it is."""
    import_path: str = ""
    """For custom, and pretrained weights in safetensors: 'package.module:function' that returns a torch module."""
    source: Address = ""
    """For family pretrained: path, s3:// or http(s):// of an .onnx, .safetensors, .keras, TorchScript or .pt2 file."""
    hidden_sizes: tuple[Annotated[int, Field(gt=0, le=65536)], ...] = (64, 32)
    """Width of each hidden layer: units, channels (cnn, resnet), or for cnn on text the words' and each window's."""
    cell: Literal["lstm", "gru"] = "lstm"
    """For family rnn: the recurrent cell."""
    dropout: Share = 0.0
    """Share of hidden units dropped while training."""
    epochs: Annotated[int, Field(gt=0)] = 40
    """Most passes over the training split."""
    batch_size: Annotated[int, Field(ge=0)] = 64
    """Rows in a gradient step; 0 takes them all (gradient descent)."""
    optimizer: Literal["sgd", "adam", "adamw"] = "adam"
    """The update rule."""
    learning_rate: Annotated[float, Field(gt=0)] = 0.003
    """Step size at the start; it falls to zero along a cosine."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """How the step size moves over the epochs."""
    l2: Annotated[float, Field(ge=0)] = 0.0
    """Weight decay."""
    loss: Literal["auto", "mse", "cross_entropy", "bce"] = "auto"
    """What is minimised; auto takes cross_entropy for classes and mse for numbers."""
    stop_loss: Annotated[float, Field(ge=0)] | None = None
    """Stop when the training loss is this low; empty never does."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Stop after so many epochs without a better validation loss; 0 never does."""
    engine: Literal["local", "torchrun"] = "local"
    """Where the loop runs: in this process, or in several under torchrun."""
    workers: Annotated[int, Field(gt=0, le=64)] = 1
    """Processes for engine torchrun."""

    @model_validator(mode="after")
    def _one_process_has_one_worker(self) -> "TrainConfig":
        if self.engine == "local" and self.workers > 1:
            raise ValueError(f"workers is {self.workers}, but engine local is one process: set engine to torchrun")
        return self

    @model_validator(mode="after")
    def _custom_names_its_function(self) -> "TrainConfig":
        if self.family == "custom" and ":" not in self.import_path:
            raise ValueError(
                f"import_path is {self.import_path!r}, but family custom needs 'package.module:function': name one"
            )
        return self

    @model_validator(mode="after")
    def _pretrained_names_its_file(self) -> "TrainConfig":
        if self.family == "pretrained" and not self.source:
            raise ValueError("source is '', but family pretrained needs a model file: give its path or address")
        if self.family != "pretrained" and self.source:
            raise ValueError(
                f"source is {self.source!r}, but family {self.family} trains anew: set family to pretrained"
            )
        return self


class PruneConfig(Form):
    """How much of the trained model is cut away."""

    ratios: tuple[float, ...] = (0.25, 0.5)
    """Shares of channels (or weights) to remove, one smaller network each; empty skips pruning."""
    method: Literal["channels", "magnitude"] = "channels"
    """channels makes a smaller network; magnitude zeroes the smallest weights, which pays in transit."""
    sparsities: tuple[float, ...] = ()
    """Shares of the weights left after cutting channels to zero as well, each tried on dense and on every ratio."""
    students: tuple[tuple[Annotated[int, Field(gt=0, le=65536)], ...], ...] = ()
    """Hidden sizes of smaller networks of the same family, trained from nothing with the dense one as teacher."""
    round_to: Annotated[int, Field(gt=0, le=256)] = 1
    """Leave a multiple of this many channels, as some hardware likes it."""
    finetune_epochs: Annotated[int, Field(ge=0)] = 10
    """Passes over the training split after the cut; of many networks, only the better half of each round goes on."""
    distill: bool = False
    """Let the dense model teach the pruned one."""

    @field_validator("ratios", "sparsities")
    @classmethod
    def _shares_leave_something(cls, shares: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
        for i, share in enumerate(shares):
            if not 0 < share < 1:
                raise ValueError(
                    f"{info.field_name}[{i}] is {share}, but must lie in (0, 1): 0.9 removes nine channels of ten"
                )
        if len(set(shares)) < len(shares):
            raise ValueError(f"{info.field_name} is {list(shares)}, but must not repeat: each is one candidate")
        return shares

    @field_validator("students")
    @classmethod
    def _students_differ(cls, students: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
        if len(set(students)) < len(students):
            raise ValueError(f"students is {[list(s) for s in students]}, but must not repeat: each is one candidate")
        return students

    @model_validator(mode="after")
    def _weights_are_zeroed_once(self) -> "PruneConfig":
        if self.method == "magnitude" and self.sparsities:
            raise ValueError(
                "sparsities is given, but method magnitude zeroes by ratios already: set method to channels"
            )
        return self


class ExportConfig(Form):
    """How the ONNX file is written."""

    opset: Annotated[int, Field(ge=18, le=23)] = 20
    """Version of the ONNX operators."""
    extra_formats: tuple[Literal["openvino", "litert"], ...] = ()
    """The winner in other formats as well, each held against it: OpenVINO IR, LiteRT (.tflite); optional extras."""


class QuantizeConfig(Form):
    """Which number formats are tried."""

    schemes: tuple[Literal["none", "dynamic", "static", "static-all", "int4", "qat"], ...] = (
        "none",
        "dynamic",
        "static",
        "static-all",
    )
    """fp32; int8 dynamic; int8 static of products alone or of all operators; int4 weights; int8 trained for."""
    fallback: bool = True
    """Where static int8 loses too much: other ranges, then the touchiest layers in float, then training for it."""
    calibration_samples: Annotated[int, Field(gt=0)] = 256
    """Training rows that set the ranges of static int8."""

    @field_validator("schemes")
    @classmethod
    def _fp32_is_measured(cls, schemes: tuple[str, ...]) -> tuple[str, ...]:
        if "none" not in schemes:
            raise ValueError(
                f"schemes is {list(schemes)}, but must hold 'none': fp32 is what the others are held against"
            )
        if len(set(schemes)) < len(schemes):
            raise ValueError(f"schemes is {list(schemes)}, but must not repeat: each is one candidate")
        return schemes


class EvaluateConfig(Form):
    """The budget a candidate must keep, and the gate a version must pass."""

    max_drop: Annotated[float, Field(ge=0)] = 1.0
    """Most loss against dense fp32: percentage points of accuracy, or per cent of RMSE."""
    max_size_bytes: Annotated[int, Field(gt=0)] | None = None
    """Largest file; empty allows any."""
    max_p95_ms: Annotated[float, Field(gt=0)] | None = None
    """Slowest p95 latency in milliseconds; empty allows any."""
    threads: Annotated[int, Field(gt=0, le=256)] = 1
    """ONNX Runtime threads while latency is measured."""
    batch_size: Annotated[int, Field(gt=0, le=65536)] = 1
    """Rows of a request while latency is measured."""
    prefer: Literal["size", "transit", "latency"] = "size"
    """Which candidate inside the budget wins: fewest bytes on disk, fewest compressed, or lowest p50."""
    min_agreement: Annotated[float, Field(ge=0, le=1)] = 0.8
    """Least share of golden rows that a step of the chain (cutting, quantizing) must answer alike."""
    max_search_seconds: Annotated[int, Field(gt=0)] | None = None
    """Start no further trial after so long; what was found by then is measured; empty takes the time it takes."""
    if_impossible: Literal["fp32", "nothing"] = "fp32"
    """When no candidate keeps the budget: publish dense fp32, or nothing."""
    min_metric: float | None = None
    """The gate: least test accuracy (0 to 1), or largest test RMSE in the target's unit; empty lets all pass."""


class PublishConfig(Form):
    """Where the version goes."""

    bucket: str = ""
    """The S3 bucket; empty takes INGOT_BUCKET."""
    prefix: Annotated[str, Field(pattern=r"^([A-Za-z0-9._-]+/)*$")] = ""
    """Put before every key; ends with a slash; empty takes INGOT_PREFIX. Serving reads that variable alone."""


class PromoteConfig(Form):
    """When the new version becomes champion."""

    policy: Literal["if_better", "always", "never"] = "if_better"
    """if_better compares with the champion, re-scored on the same test split."""
    margin: Annotated[float, Field(ge=0)] = 0.0
    """How much better it must be: percentage points of accuracy, or per cent of RMSE."""


class RetrainConfig(Form):
    """Everything one retraining does."""

    model_name: ModelName = "digits"
    """Name of the experiment, the registered model and the served model."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Makes weights, batches and calibration repeatable."""
    ingest: IngestConfig = IngestConfig()
    """Where the data lie and how they are split."""
    train: TrainConfig = TrainConfig()
    """Which network is trained, and how."""
    prune: PruneConfig = PruneConfig()
    """How much of the trained model is cut away."""
    export: ExportConfig = ExportConfig()
    """How the ONNX file is written."""
    quantize: QuantizeConfig = QuantizeConfig()
    """Which number formats are tried."""
    evaluate: EvaluateConfig = EvaluateConfig()
    """The budget a candidate must keep, and the gate a version must pass."""
    publish: PublishConfig = PublishConfig()
    """Where the version goes."""
    promote: PromoteConfig = PromoteConfig()
    """When the new version becomes champion."""


class DriftConfig(Form):
    """What is compared with the champion's training data, and what counts as drift."""

    model_name: ModelName = "digits"
    """Name of the model, which must have a champion."""
    source: Address = ""
    """New data: a path, s3:// or http(s):// address; empty takes what the server has sampled of its requests."""
    format: Format = "auto"
    """How the source is written; auto looks at names and first bytes."""
    since_hours: Annotated[float, Field(gt=0, le=24 * 3650)] = 24.0
    """Of the server's samples, take those of the last so many hours."""
    most_rows: Annotated[int, Field(ge=100, le=1_000_000)] = 20_000
    """Compare at most so many rows of either side, drawn at random; bounds memory and time."""
    min_rows: Annotated[int, Field(ge=10)] = 50
    """Refuse to judge fewer new rows than this."""
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """Share of false alarms among the columns that are told, at most (Benjamini and Hochberg)."""
    min_psi: Annotated[float, Field(gt=0)] = 0.2
    """Drift must be as large as this population stability index, beyond what chance makes, or as min_distance."""
    min_distance: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Drift must be as large as this Kolmogorov-Smirnov distance (numbers), or as min_psi."""
    min_missing: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Least change of the share of missing cells that counts."""
    min_unseen: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Least share of rows with a category that training never saw that counts."""
    max_bytes: Annotated[int, Field(gt=0)] = 100 * 2**30
    """Refuse sources larger than this, in bytes."""
