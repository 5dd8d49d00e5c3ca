"""Rows of quantization: codes, calibration, integer products."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.elementwise import draw
from benchmarks.peers import dialect, load
from benchmarks.record import AtMost, Call, Make, Ratio, Row, Share, Tolerance

SIDE = 4096
TENSORS, LENGTH, BINS = 100, 100_000, 2048


def weights() -> tuple[np.ndarray, np.ndarray]:
    """Draw a matrix, and a scale for each of its rows."""
    x = draw(SIDE, SIDE)
    return x, (np.abs(x).max(1) / 127).astype(np.float32)


def quantize(library: str) -> Make:
    def make() -> Call:
        x, scale = weights()
        if library == "torch":
            torch = load("torch")
            t, s = torch.from_numpy(x), torch.from_numpy(scale)
            zero = torch.zeros(SIDE, dtype=torch.int64)
            code = torch.quantize_per_channel
            return lambda: code(t, s, zero, 0, torch.qint8).int_repr()
        d = dialect(library)
        if library == "jax":

            def f(x: Any, s: Any) -> Any:
                codes = d.np.round(x / s[:, None])
                return d.np.clip(codes, -127, 127).astype(d.np.int8)

        else:
            spec = d.root.quant.QuantSpec(axis=0)

            def f(x: Any, s: Any) -> Any:
                return d.root.quantize(x, spec, scale=s).codes.reshape(SIDE, SIDE)

        f = d.root.jit(f)
        x, scale = d.np.asarray(x), d.np.asarray(scale)
        return lambda: f(x, scale)

    return make


def calibrate() -> Call:
    rx = load("rxcore")
    tensors = [rx.asarray(row) for row in draw(TENSORS, LENGTH) ** 3]
    calibrator = rx.quant.kl(rx.quant.QuantSpec(), bins=BINS)

    def call() -> Any:
        found = []
        for t in tensors:
            seen = calibrator.update(calibrator.init(t.shape), t)
            found.append(calibrator.range(seen)[1])
        return found

    return call


def codes(size: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (size, size), np.uint8)
    return a, rng.integers(-128, 128, (size, size), np.int8)


def integer_product(library: str, size: int) -> Make:
    def make() -> Call:
        a, b = codes(size)
        if library == "torch":
            torch = load("torch")
            # It multiplies signed numbers only: as many operations of the same width.
            x, y = torch.from_numpy((a >> 1).astype(np.int8)), torch.from_numpy(b)
            return lambda: torch._int_mm(x, y)
        if library == "onnxruntime":
            run = onnx_product(size)
            return lambda: run(a, b)
        if library == "own float32":
            d = dialect("rxcore")
            f = d.root.jit(lambda x, y: x @ y)
            x, y = (d.np.asarray(v.astype(np.float32)) for v in (a, b))
            return lambda: f(x, y)
        d = dialect(library)
        if library == "jax":
            dims = (((1,), (0,)), ((), ()))
            product = d.lax.dot_general
            # XLA takes operands of one dtype.
            a = (a >> 1).astype(np.int8)
            f = d.root.jit(
                lambda x, y: product(x, y, dims, preferred_element_type=d.np.int32)
            )
        else:
            f = d.root.jit(load("rxcore.ops.integer_matmul").integer_matmul)
        a, b = d.np.asarray(a), d.np.asarray(b)
        return lambda: f(a, b)

    return make


def onnx_product(size: int) -> Any:
    onnx, runtime = load("onnx"), load("onnxruntime")
    helper, kinds = onnx.helper, onnx.TensorProto
    dims = [size, size]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "b"], ["c"])],
        "product",
        [info("a", kinds.UINT8, dims), info("b", kinds.INT8, dims)],
        [info("c", kinds.INT32, dims)],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    made.ir_version = 9
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 2
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "product.onnx"
        onnx.save(made, path)
        session = runtime.InferenceSession(str(path), options)
    return lambda a, b: session.run(None, {"a": a, "b": b})[0]


def product_row(size: int) -> Row:
    libraries = ("rxcore", "own float32", "jax", "torch", "onnxruntime")
    return Row(
        name=f"integer_matmul_{size}",
        title=f"u8 x s8 matmul, {size}",
        programs={name: integer_product(name, size) for name in libraries},
        must=(Ratio(2.5, ("own float32",)),),
        aim=(Ratio(1.1, ("jax", "torch", "onnxruntime")),),
        # The float product is rounded; other peers multiply other numbers.
        against=("onnxruntime",),
        tolerance=Tolerance(0.0, 0.0),
    )


ROWS = (
    Row(
        name="quantize",
        title="quantize 4096x4096 by rows, int8, scale given",
        programs={name: quantize(name) for name in ("rxcore", "jax", "torch")},
        must=(Ratio(1.2, ("jax",)), Ratio(4.0, ("torch",))),
        aim=(Share(0.8, "copy"),),
        bytes=5 * SIDE * SIDE,
        # Peers multiply by a reciprocal: a tie rounds to the other side.
        tolerance=Tolerance(0.0, 1.0, share=1e-5),
    ),
    Row(
        name="kl",
        title="KL calibration of 100 tensors of 1e5",
        programs={"rxcore": calibrate},
        must=(AtMost(2.0),),
        aim=(AtMost(0.5),),
    ),
    product_row(1024),
    product_row(2048),
)
