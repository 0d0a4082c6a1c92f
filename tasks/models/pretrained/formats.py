"""How a model's file is written: told by its name, held against its content before anything is opened.

Pickles are refused, whatever they are called: to read one is to run what its author wrote.
"""

import io
import pickletools
import zipfile
from pathlib import PurePosixPath
from typing import Literal
from urllib.parse import urlsplit

from tasks.contracts.errors import ModelError

FileFormat = Literal["onnx", "safetensors", "keras", "torchscript", "pt2"]
FORMATS: dict[str, FileFormat] = {
    ".onnx": "onnx",
    ".safetensors": "safetensors",
    ".keras": "keras",
    ".pt": "torchscript",
    ".pth": "torchscript",
    ".ts": "torchscript",
    ".torchscript": "torchscript",
    ".pt2": "pt2",
}
PICKLES = (".pkl", ".pickle", ".joblib", ".bin", ".ckpt", ".npy")
MEND = "export it to ONNX or TorchScript, or save its weights as .safetensors and name train.import_path"


def format_of(source: str) -> FileFormat:
    """The format that a path or an address names.

    Raises:
        ModelError: It is none that is read.

    >>> format_of("https://example.com/models/net.onnx?version=3")
    'onnx'
    """
    suffix = PurePosixPath(urlsplit(source).path if "://" in source else source).suffix.lower()
    if suffix in PICKLES:
        raise ModelError(
            f"train.source is {source}, but {suffix} files are pickles, which run code when they are read: {MEND}"
        )
    if suffix not in FORMATS:
        raise ModelError(f"train.source is {source}, but must end in one of {', '.join(FORMATS)}: {MEND}")
    return FORMATS[suffix]


def refuse_pickle(content: bytes, name: str) -> None:
    """Look at a file without reading it as anything.

    Raises:
        ModelError: It is empty, or a pickle under any name.
    """
    if not content:
        raise ModelError(f"train.source {name} is empty, but must be a model: copy it again")
    if _is_pickle(content) or _is_saved_by_torch(content):
        raise ModelError(f"train.source {name} is a pickle, which runs code when it is read: {MEND}")


def entries(content: bytes, name: str) -> dict[str, bytes]:
    """What a zip archive holds, by name.

    Raises:
        ModelError: It is no whole archive, or holds a name twice, which readers understand differently.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            found = {each: archive.read(each) for each in names}
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        raise not_whole(name, "zip archive", error) from error
    if len(found) < len(names):
        raise ModelError(f"train.source {name} holds an entry twice, but must be as it was saved: save it again")
    return found


def not_whole(name: str, what: str, error: object) -> ModelError:
    """The refusal of a file that its own library cannot read."""
    why = " ".join(str(error).split())[:200] or type(error).__name__
    return ModelError(f"train.source {name} is no whole {what} ({why}): copy it again, or save it anew")


def _is_pickle(content: bytes) -> bool:
    if content[0] == 0x80 and len(content) > 1 and content[1] <= 5:
        return True
    try:
        return sum(1 for _ in pickletools.genops(content)) > 1
    except (ValueError, IndexError, EOFError, OverflowError):
        return False


def _is_saved_by_torch(content: bytes) -> bool:
    """Whether it is of torch.save: an archive with a pickle for Python, where TorchScript has code."""
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return False
    names = entries(content, "")
    return any(name.endswith("data.pkl") for name in names) and not any("/code/" in name for name in names)
