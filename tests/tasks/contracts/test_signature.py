from tasks.contracts.schema import Feature, Schema
from tasks.contracts.signature import signature_of


def schema(*features: Feature, labels=(0, 1), task="classification") -> Schema:
    return Schema(task=task, features=features, target="y", labels=labels)


def test_numbers_alone_travel_as_one_matrix():
    (tensor,) = signature_of(
        schema(Feature(name="a", kind="number"), Feature(name="b", kind="number", nullable=True))
    ).inputs
    assert (tensor.name, tensor.datatype, tensor.shape) == ("features", "FP32", (-1, 2))
    assert tensor.columns == ("a", "b") and tensor.nullable == (False, True)


def test_one_string_column_gives_every_column_a_tensor():
    inputs = signature_of(schema(Feature(name="a", kind="number"), Feature(name="c", kind="category"))).inputs
    assert [(t.name, t.datatype, t.shape) for t in inputs] == [("a", "FP32", (-1,)), ("c", "BYTES", (-1,))]


def test_an_image_keeps_its_shape():
    (tensor,) = signature_of(schema(Feature(name="image", kind="image", shape=(28, 28, 3)))).inputs
    assert (tensor.datatype, tensor.shape) == ("UINT8", (-1, 28, 28, 3))


def test_labels_decide_the_type_of_the_answer():
    text = Feature(name="text", kind="text")
    whole = signature_of(schema(text, labels=(3, 5, 7)))
    words = signature_of(schema(text, labels=("no", "yes")))
    assert [t.datatype for t in whole.outputs] == ["INT64", "FP32"] and whole.outputs[1].shape == (-1, 3)
    assert words.outputs[0].datatype == "BYTES"
    assert [t.name for t in signature_of(schema(text, labels=(), task="regression")).outputs] == ["value"]
