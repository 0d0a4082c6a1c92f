"""Models by import path: what is handed over, and every way they can be unusable."""

import sys
import textwrap
import zlib

import pytest
import torch

from tasks.contracts.artifacts import Architecture
from tasks.contracts.errors import ModelError
from tasks.models import zoo

HEAD = "import torch\nfrom torch import nn\n"


@pytest.fixture
def build(tmp_path, monkeypatch, request):
    """Builds the custom architecture whose module holds this source, from the current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    name = f"network_{zlib.crc32(request.node.name.encode())}"

    def made(source, function="make", **more):
        (tmp_path / f"{name}.py").write_text(HEAD + textwrap.dedent(source))
        fields = {"input_shape": (4,), "output_size": 3, "hidden_sizes": (6,), "import_path": f"{name}:{function}"}
        try:
            return zoo.build(Architecture(family="custom", **{**fields, **more}))
        finally:
            sys.modules.pop(name, None)

    made.name = name
    return made


def refusal(build, source, function="make", **more):
    with pytest.raises(ModelError) as caught:
        build(source, function, **more)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("train.import_path")
    return message


def test_the_function_gets_the_arguments_that_it_names(build):
    module = build("""
        def make(output_size, input_shape, extra=1):
            return nn.Linear(input_shape[0], output_size)
    """)
    assert module(torch.ones(5, 4)).shape == (5, 3)


def test_a_function_of_keywords_gets_them_all(build):
    module = build(
        """
        def make(**given):
            module = nn.Linear(4, 3)
            module.given = given
            return module
    """,
        dropout=0.25,
    )
    assert module.given == {
        "input_shape": (4,), "output_size": 3, "hidden_sizes": (6,), "dropout": 0.25, "vocabulary_size": 0,
    }  # fmt: skip


def test_a_class_is_a_function_too_and_reads_token_ids(build):
    module = build(
        """
        class Net(nn.Module):
            def __init__(self, vocabulary_size, output_size):
                super().__init__()
                self.words = nn.Embedding(vocabulary_size, output_size)

            def forward(self, encoded):
                return self.words(encoded).mean(1)
    """,
        function="Net",
        vocabulary_size=11,
    )
    assert module(torch.tensor([[1, 2, 10, 0]])).shape == (1, 3)
    assert module.training


def test_a_package_in_the_current_directory_is_found(tmp_path, build):
    (tmp_path / "parts_of_mine").mkdir()
    (tmp_path / "parts_of_mine" / "__init__.py").write_text(HEAD + "def head():\n    return nn.Linear(4, 3)\n")
    assert build("from parts_of_mine import head\ndef make():\n    return head()\n")(torch.ones(1, 4)).shape == (1, 3)


def test_the_seed_decides_its_weights(build):
    source = "def make():\n    return nn.Linear(4, 3)\n"
    assert torch.equal(build(source).weight, build(source).weight)


def test_refuses_a_module_that_is_not_there(build):
    message = refusal(build, "", import_path="no_such_module_of_mine:make")
    assert message == (
        "train.import_path is no_such_module_of_mine:make, but module no_such_module_of_mine cannot be imported "
        "(ModuleNotFoundError: No module named 'no_such_module_of_mine'): mend it, or run from the folder that holds it"
    )


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def make(:\n", "SyntaxError"),
        ("import not_a_library_at_all\n", "ModuleNotFoundError: No module named 'not_a_library_at_all'"),
        ("raise ValueError('first\\nlast line')\n", "ValueError: last line"),
        ("import sys\nsys.exit(0)\n", "SystemExit: 0"),
    ],
)
def test_refuses_a_module_that_cannot_be_imported_with_the_last_line_of_why(build, source, reason):
    message = refusal(build, source)
    assert f"but module {build.name} cannot be imported ({reason}" in message


@pytest.mark.parametrize("path", ["", "only_a_module", "module:", ":function"])
def test_refuses_a_path_that_names_no_function(build, path):
    assert f"is {path!r}, but must be 'package.module:function'" in refusal(build, "", import_path=path)


def test_refuses_an_unknown_function_and_suggests_the_known_one(build):
    message = refusal(build, "def make_network():\n    return nn.Linear(4, 3)\n", "make_netwrk")
    assert "function 'make_netwrk' does not exist: did you mean 'make_network'? known: make_network" in message


def test_refuses_a_name_that_is_no_function(build):
    assert "is an int, but must be a function that returns a module" in refusal(build, "make = 3\n")


def test_refuses_a_function_that_needs_what_is_never_given(build):
    message = refusal(build, "def make(output_size, depth):\n    return None\n")
    assert "needs argument 'depth', but is given only input_shape, output_size, hidden_sizes" in message


def test_refuses_a_function_that_raises_with_the_last_line(build):
    message = refusal(build, "def make():\n    raise RuntimeError('no\\nweights found')\n")
    assert message.endswith("raised RuntimeError: weights found: mend the function")


@pytest.mark.parametrize(("value", "kind"), [("None", "None"), ("[1]", "a list"), ("nn.Linear", "a type")])
def test_refuses_what_is_no_module(build, value, kind):
    message = refusal(build, f"def make():\n    return {value}\n")
    assert message.endswith(f"returned {kind}, but must return a torch.nn.Module: return the network itself")


def test_refuses_a_module_of_the_wrong_output_size_with_both_shapes(build):
    message = refusal(build, "def make():\n    return nn.Linear(4, 7)\n")
    assert "answers 2 rows with shape (2, 7), but must answer with (2, 3)" in message


def test_refuses_a_module_that_flattens_the_batch_away(build):
    message = refusal(build, "def make():\n    return nn.Sequential(nn.Linear(4, 3), nn.Flatten(0))\n")
    assert "answers 2 rows with shape (6,), but must answer with (2, 3)" in message


def test_refuses_a_module_that_cannot_read_the_rows(build):
    message = refusal(build, "def make():\n    return nn.Linear(5, 3)\n")
    assert "its module raised RuntimeError: mat1 and mat2 shapes cannot be multiplied" in message
    assert "on 2 rows of shape (4,), but must take any batch of them" in message


def test_refuses_a_module_that_answers_two_things(build):
    message = refusal(build, "def make():\n    return nn.LSTM(4, 3)\n")
    assert "answers a tuple, but must answer one tensor" in message


def test_refuses_a_module_of_doubles(build):
    message = refusal(
        build,
        """
        class Net(nn.Linear):
            def forward(self, x):
                return super().forward(x).double()

        def make():
            return Net(4, 3)
        """,
    )
    assert "answers torch.float64, but must answer torch.float32" in message


def test_refuses_a_module_with_nothing_to_train(build):
    message = refusal(build, "def make():\n    return nn.Sequential(nn.Flatten(), nn.ReLU())\n")
    assert "with no trainable parameters, but must have some" in message


def test_refuses_a_module_that_answers_nan(build):
    message = refusal(
        build,
        """
        def make():
            module = nn.Linear(4, 3)
            nn.init.constant_(module.bias, float("nan"))
            return module
        """,
    )
    assert "answers NaN or infinity before any training, but must be finite" in message


def test_refuses_a_module_with_the_batch_size_written_in(build):
    message = refusal(
        build,
        """
        class Net(nn.Linear):
            def forward(self, x):
                return super().forward(x).view(2, 3)

        def make():
            return Net(4, 3)
        """,
    )
    assert "its module raised RuntimeError: shape '[2, 3]' is invalid for input of size 9 on 3 rows" in message


def test_refuses_a_module_whose_answer_nothing_can_be_learned_from(build):
    message = refusal(
        build,
        """
        class Net(nn.Linear):
            def forward(self, x):
                return super().forward(x).detach()

        def make():
            return Net(4, 3)
        """,
    )
    assert "its module's answer does not depend on its parameters" in message
