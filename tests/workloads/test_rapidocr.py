"""RapidOCR's recogniser: it reads, its output layer is the file's, its vectors are kept."""

import numpy as np
import onnx
import pytest

from golden.workloads import rapidocr
from golden.workloads.easyocr import character_accuracy
from golden.workloads.lines import rendered_lines
from tests.workloads.models import recogniser


def small_model(last="Softmax"):
    """x (1, 3, 48, width) -> the mean over colours and rows of 4 classes; characters a, b."""
    from onnx import TensorProto, helper

    weight, bias = np.array([[-1, 1, 0.5, 3]], np.float32), np.array([0, 0, 0.25, -9], np.float32)
    nodes = [helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1, 2], keepdims=0),
             helper.make_node("Unsqueeze", ["mean", "axis"], ["h"]),
             helper.make_node("Constant", [], ["w"], value=onnx.numpy_helper.from_array(weight)),
             helper.make_node("Constant", [], ["b"], value=onnx.numpy_helper.from_array(bias)),
             helper.make_node("MatMul", ["h", "w"], ["product"]), helper.make_node("Add", ["product", "b"], ["z"]),
             helper.make_node(last, ["z"], ["y"])]
    graph = helper.make_graph(nodes, "small", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 48, None])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
                              [onnx.numpy_helper.from_array(np.array([2]), "axis")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    entry = model.metadata_props.add()
    entry.key, entry.value = "character", "a\nb"
    return model


def test_hidden_vectors_and_output_layer_of_a_small_model():
    reader = rapidocr.Recogniser(small_model())
    assert reader.output_weight.shape == (4, 1) and reader.output_bias.tolist() == [0, 0, 0.25, -9]
    image = np.repeat(np.array([[0, 255, 51]], np.uint8), 48, 0).repeat(4, 1)
    hidden = reader.hidden(image)
    assert hidden.dtype == np.float32 and np.allclose(hidden[[1, 6, 10], 0], [-1, 1, -0.6], atol=0.01)
    scores = hidden @ reader.output_weight.T + reader.output_bias
    assert reader.decode(scores.argmax(1)[[1, 6, 6, 10]]) == "a"
    assert reader.decode(np.array([0, 1, 1, 0, 1, 2, 3, 0])) == "aab "
    assert rapidocr.Recogniser(small_model()).hidden(image[:24]).shape == (24, 1)  # to a height of 48


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="end in MatMul, Add and Softmax"):
        rapidocr.Recogniser(small_model("Relu"))
    reader = rapidocr.Recogniser(small_model())
    for image in (np.zeros((48, 8), np.float32), np.zeros((48, 8, 3), np.uint8)):
        with pytest.raises(ValueError, match="image is"):
            reader.hidden(image)


def test_vectors_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("RESILIN_CACHE", str(tmp_path))
    monkeypatch.setattr(rapidocr, "WIDTH", 1)
    reader, messages = rapidocr.Recogniser(small_model()), []
    images = [np.full((48, 16), value, np.uint8) for value in (3, 200)]
    first = reader.vectors(images, messages.append)
    assert len(messages) == 2 and not np.array_equal(*first)
    again = reader.vectors(images[::-1], messages.append)
    assert len(messages) == 2 and all(map(np.array_equal, first, again[::-1]))


def test_the_published_model_reads():
    reader = recogniser()
    assert reader.output_weight.shape == (rapidocr.CLASSES, rapidocr.WIDTH) and reader.output_bias.shape == (6625,)
    assert len(reader.characters) == rapidocr.CLASSES
    lines = rendered_lines("evaluation", 2)
    read = [reader.decode((vectors @ reader.output_weight.T + reader.output_bias).argmax(1))
            for vectors in reader.vectors([image for image, _ in lines], lambda line: None)]
    assert character_accuracy(read, [text for _, text in lines]) > 0.9
