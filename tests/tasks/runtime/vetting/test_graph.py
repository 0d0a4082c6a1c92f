import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import ModelProto, SparseTensorProto, TensorProto, helper, numpy_helper

from tasks.contracts.errors import GraphError, IngotError, IntegrityError
from tasks.runtime.vetting import vet_graph


def test_counts_the_operators_of_a_sound_graph(make, write):
    assert vet_graph(write(make.model_of([make.RELU]))) == {"ai.onnx::Relu": 1}


@pytest.mark.parametrize("operator", ["Loop", "Scan", "RandomNormal", "ImageDecoder", "SequenceEmpty", "NonZero"])
def test_refuses_an_operator_that_is_not_on_the_list_by_node_and_mend(make, write, operator):
    node = helper.make_node(operator, ["x"], ["y"], name="guilty")
    words = rf"node 'guilty' is a ai.onnx::{operator}, but must be an operator of the allow-list: .*ALLOWED_OPERATORS"
    with pytest.raises(GraphError, match=words):
        vet_graph(write(make.model_of([node])))


@pytest.mark.parametrize("domain", ["evil", "com.microsoft.experimental", "ai.onnx.contrib", "AI.ONNX"])
def test_refuses_a_foreign_domain(make, write, domain):
    node = helper.make_node("Relu", ["x"], ["y"], domain=domain)
    with pytest.raises(GraphError, match=f"node 'y' is a {domain}::Relu"):
        vet_graph(write(make.model_of([node], domains=[domain])))


def test_a_site_may_allow_an_operator_of_its_own(make, write, monkeypatch):
    monkeypatch.setenv("INGOT_ALLOWED_OPERATORS", "evil::Relu, ai.onnx::Loop")
    node = helper.make_node("Relu", ["x"], ["y"], domain="evil")
    assert vet_graph(write(make.model_of([node], domains=["evil"]))) == {"evil::Relu": 1}


def branch(node, tensor=None):
    inner = helper.make_graph(
        [node], "b", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], [tensor] if tensor else []
    )
    return helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)


def in_a_branch(make, node, tensor):
    return make.model_of([branch(node, tensor)])


def in_a_branch_of_a_branch(make, node, tensor):
    return make.model_of([branch(branch(node, tensor))])


def in_a_training_graph(make, node, tensor):
    model = make.model_of([make.RELU])
    model.training_info.add().algorithm.CopyFrom(make.model_of([node], initializers=[tensor]).graph)
    return model


PLACES = [in_a_branch, in_a_branch_of_a_branch, in_a_training_graph]


@pytest.mark.parametrize("place", PLACES)
def test_finds_operators_wherever_they_hide(make, write, place):
    node = helper.make_node("Loop", ["x"], ["y"])
    with pytest.raises(GraphError, match="ai.onnx::Loop"):
        vet_graph(write(place(make, node, numpy_helper.from_array(np.ones(2, np.float32), "w"))))


def test_refuses_functions_of_the_file_itself(make, write):
    own = helper.make_function("own", "f", ["x"], ["y"], [make.RELU], [helper.make_opsetid("", 20)])
    node = helper.make_node("f", ["x"], ["y"], domain="own")
    with pytest.raises(GraphError, match=r"functions of its own \(own::f\).*inline_local_functions"):
        vet_graph(write(make.model_of([node], domains=["own"], functions=[own])))


def as_initializer(make, tensor):
    return make.model_of([make.ADD], initializers=[tensor])


def as_attribute(make, tensor):
    return make.model_of([helper.make_node("Constant", [], ["y"], value=tensor)])


def as_sparse_initializer(make, tensor):
    model = make.model_of([make.RELU])
    index = numpy_helper.from_array(np.arange(2), "i")
    model.graph.sparse_initializer.append(SparseTensorProto(values=tensor, indices=index, dims=[4]))
    return model


def as_sparse_attribute(make, tensor):
    model = make.model_of([helper.make_node("Constant", [], ["y"])])
    index = numpy_helper.from_array(np.arange(2), "i")
    sparse = SparseTensorProto(values=tensor, indices=index, dims=[4])
    model.graph.node[0].attribute.append(helper.make_attribute("sparse_value", sparse))
    return model


WAYS = [as_initializer, as_attribute, as_sparse_initializer, as_sparse_attribute]
WAYS += [lambda make, tensor, place=place: place(make, make.RELU, tensor) for place in PLACES]


@pytest.fixture(params=WAYS)
def leaning(request, make):
    """A graph that leans on a file, in one of many places."""
    return lambda **fields: request.param(make, make.external(**fields))


def test_takes_weights_of_a_file_beside_it(leaning, write, tmp_path):
    (tmp_path / "weights.data").write_bytes(b"\0" * 16)
    vet_graph(write(leaning(offset=8, length=8)))


@pytest.mark.parametrize(
    "location", ["../w", "a/../../w", "/etc/passwd", "", ".", "a//b", "a\\b", "*/_ORT_MEM_ADDR_/*"]
)
def test_refuses_a_location_that_leads_elsewhere(leaning, write, location):
    with pytest.raises(IntegrityError, match="must be a plain path within the folder"):
        vet_graph(write(leaning(location=location)))


def test_refuses_links_to_other_files_and_folders(leaning, write, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"\0" * 8)
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "model.onnx"
    (folder / "soft").symlink_to(outside / "secret")
    (folder / "hard").hardlink_to(outside / "secret")
    (folder / "inner").symlink_to(outside)
    for location, words in {"soft": "symbolic link", "hard": "2 names", "inner/secret": "symbolic link inner"}.items():
        path.write_bytes(leaning(location=location).SerializeToString())
        with pytest.raises(IntegrityError, match=words):
            vet_graph(path)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"offset": 9}, "bytes 9 to 8 of weights.data|bytes 9"),
        ({"offset": 1, "length": 8}, "bytes 1 to 9 of weights.data, but the file has 8"),
        ({"length": 10**17}, "but the file has 8"),
        ({"offset": -1}, "offset '-1', but must have a whole number"),
        ({"length": "1e3"}, "length '1e3'"),
        ({"length": "٣"}, "must have a whole number"),
        ({"basepath": "/etc"}, "has the fields location, basepath"),
    ],
)
def test_refuses_bytes_that_the_file_does_not_have(make, write, tmp_path, fields, words):
    (tmp_path / "weights.data").write_bytes(b"\0" * 8)
    with pytest.raises(IntegrityError, match=words):
        vet_graph(write(as_initializer(make, make.external(**fields))))


def test_refuses_a_field_that_is_given_twice(make, write, tmp_path):
    (tmp_path / "weights.data").write_bytes(b"\0" * 8)
    tensor = make.external()
    tensor.external_data.add(key="location", value="/etc/passwd")
    with pytest.raises(IntegrityError, match="each once"):
        vet_graph(write(as_initializer(make, tensor)))


def nested(depth):
    """Branches within branches, written by hand: the library itself refuses to build it."""
    content = b""
    for _ in range(depth):
        for tag in (0x32, 0x2A, 0x0A):  # attribute.g, node.attribute, graph.node
            content = bytes([tag]) + length(len(content)) + content
    return b"\x08\x0a\x3a" + length(len(content)) + content


def length(value):
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


@pytest.mark.parametrize("content", [b"", b"not a graph", nested(5_000), b"\x80\x04K\x01."])
def test_refuses_what_is_no_graph(write, content):
    with pytest.raises(IntegrityError, match="no ONNX graph|no nodes"):
        vet_graph(write(content))


def test_refuses_a_file_above_the_limit(make, write):
    with pytest.raises(IntegrityError, match="but may have 10"):
        vet_graph(write(make.model_of([make.RELU])), max_bytes=10)


def test_refuses_links_to_graphs(make, write, tmp_path):
    path = write(make.model_of([make.RELU]))
    (tmp_path / "soft.onnx").symlink_to(path)
    with pytest.raises(IntegrityError, match="soft.onnx is a symbolic link"):
        vet_graph(tmp_path / "soft.onnx")
    (tmp_path / "hard.onnx").hardlink_to(path)
    with pytest.raises(IntegrityError, match=r"hard.onnx has 2 names \(hard links\)"):
        vet_graph(tmp_path / "hard.onnx")
    with pytest.raises(IntegrityError, match="no regular file"):
        vet_graph(tmp_path)
    with pytest.raises(IntegrityError, match="cannot be read"):
        vet_graph(tmp_path / "none.onnx")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_graph_is_refused_in_words_or_is_still_within_the_rules(make, write, data):
    content = bytearray(make.model_of([make.ADD], initializers=[make.external("../w")]).SerializeToString())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    try:
        used = vet_graph(write(bytes(content)))
    except IngotError as error:
        assert "\n" not in str(error)
    else:
        tensor = ModelProto.FromString(bytes(content)).graph.initializer
        assert used and all(".." not in str(each.external_data) for each in tensor)
