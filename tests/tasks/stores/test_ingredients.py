import torch

from tasks.stores import ingredients
from tasks.stores.ingredients import code_of, key_of, libraries_of


def test_the_code_of_a_step_holds_what_it_imports_inside_functions_and_nothing_else():
    files = {path.relative_to(ingredients.ROOT).as_posix() for path in ingredients._closure("tasks.train")}
    assert {"tasks/train.py", "tasks/trainers/loop.py", "tasks/models/cnn.py", "tasks/contracts/errors.py"} <= files
    assert not {file for file in files if file.startswith("deployments")}
    assert "tasks/publish.py" not in files and "tasks/exporters/openvino_ir.py" not in files


def test_steps_have_codes_of_their_own():
    assert code_of("tasks.train") != code_of("tasks.ingest")
    assert code_of("tasks.train") == code_of("tasks.train")


def test_the_libraries_are_those_that_the_code_imports_with_their_versions():
    found = libraries_of("tasks.train")
    assert found["torch"] == torch.__version__.partition("+")[0] or found["torch"] == torch.__version__
    assert "tasks" not in found and "json" not in found and "openvino" not in found


def test_a_key_changes_with_each_part():
    assert len({key_of("a", {}), key_of("b", {}), key_of("a", {"x": "1"}), key_of("a", {"x": "2"})}) == 4


def test_modules_that_are_imported_by_name_or_run_as_programs_belong_to_the_code():
    files = {path.relative_to(ingredients.ROOT).as_posix() for path in ingredients._closure("tasks.train")}
    assert {"tasks/models/pretrained/keras_file.py", "tasks/trainers/worker.py"} <= files
    converting = {path.relative_to(ingredients.ROOT).as_posix() for path in ingredients._closure("tasks.convert")}
    assert "tasks/exporters/litert_worker.py" in converting
    assert "openvino" in libraries_of("tasks.convert") or not ingredients._version("openvino")
