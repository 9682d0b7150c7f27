"""The golden model of the Speculator against a plain computation: convolutions, gates, what it refuses."""

import numpy as np
import pytest

from golden.arith.fixed import requantize
from golden.duet import reorder_unit
from golden.duet.projection import encode_ternary
from golden.duet.speculator import Job, Layer, Speculator, SpeculatorSize
from golden.duet.speculator_mfu import Function, activate, pre_activation
from golden.duet.switching_map import dequantize, switching_map

SMALL = SpeculatorSize(cols=2, segment=4, trees=4, array_cols=8, weight_rows=512, table_entries=128)


def lines(fields, bits, size):
    """Lines of 16-bit words that hold unsigned fields, packed without gaps."""
    flat = ((np.ravel(fields)[:, None] >> np.arange(bits)) & 1).ravel()
    flat = np.concatenate([flat, np.zeros(-len(flat) % (16 * size.cols * size.segment), np.int64)])
    words = flat.reshape(-1, 16) @ (1 << np.arange(16))
    return (words - (words >> 15 << 16)).reshape(-1, size.cols * size.segment)


def fill(speculator, buffer, fields, bits):
    for address, line in enumerate(lines(fields, bits, speculator.size)):
        speculator.fill(buffer, address, line)


def tables(speculator, rng, n, k):
    """Random weights (n, k) and channel table, filled in; returns weights, scale, bias."""
    size = speculator.size
    tiles = -(-n // size.array_cols)
    weights = rng.integers(-8, 8, (tiles * size.array_cols, k))
    fill(speculator, "weight", weights.reshape(tiles, -1, k).swapaxes(1, 2) & 15, 4)
    scale, bias = rng.integers(0, 256, n), rng.integers(-2048, 2048, n) // 16
    fill(speculator, "channel", scale | (bias & 0xfff) << 8, 32)
    return weights[:n], scale, bias


@pytest.mark.parametrize("kernel, stride, pad, shape", [
    ((3, 3), (1, 1), 1, (2, 2)), ((2, 2), (1, 1), 0, (2, 2)), ((1, 1), (1, 1), 0, (1, 4)), ((1, 3), (1, 1), 1, (1, 4)),
    ((2, 2), (2, 2), 0, (2, 2)), ((1, 4), (1, 1), 0, (1, 4)),
])
def test_convolution(kernel, stride, pad, shape):
    """Maps of a tile equal those of a plain convolution of quantized numbers; `shape` is that of a block."""
    rng = np.random.default_rng(sum(kernel))
    size, (th, tw), (kh, kw) = SMALL, shape, kernel
    groups, group_rows, n = 2, 1, 11
    pads = (pad if kh > 1 else 0, pad if kw > 1 else 0)
    fars = [(fy, fx) for fy in range(-(-kh // th)) for fx in range(-(-kw // tw))]
    out_h, out_w = (th, tw) if stride == (1, 1) else (1, 1)
    layer = Layer(groups=groups, passes=len(fars), group_rows=group_rows, p_shift=1, thresholds=(3, 1, 0),
                  block_width=tw.bit_length() - 1, tile_width=tw.bit_length() - 1, stride_y=stride[0],
                  stride_x=stride[1], origin_y=-pads[0] % (2 * th), origin_x=-pads[1] % (2 * tw),
                  taps=[([fy] * 4, [fx] * 4) for fy, fx in fars])
    speculator = Speculator(size)
    kernel_p = rng.integers(-1, 2, (groups, group_rows * size.trees, kh, kw, size.cols))
    p = np.zeros((groups, len(fars), group_rows * size.trees, size.segment, size.cols), np.int64)
    for q, (fy, fx) in enumerate(fars):
        for t in range(size.segment):
            dy, dx = fy * th + t // tw, fx * tw + t % tw
            if dy < kh and dx < kw:
                p[:, q, :, t] = kernel_p[:, :, dy, dx]
    fill(speculator, "projection", encode_ternary(p), 2)
    weights, scale, bias = tables(speculator, rng, n, layer.k_rows * size.trees)
    speculator.configure(layer)
    for _ in range(3):
        image = rng.integers(-32768, 32768, (4 * th, 4 * tw, groups * size.cols))
        y0, x0 = th, tw  # the tile's own block is (1, 1): its slot is 3
        for g in range(groups):
            for by in range(3):
                for bx in range(3):
                    block = image[by * th:(by + 1) * th, bx * tw:(bx + 1) * tw, g * size.cols:(g + 1) * size.cols]
                    ys, xs = np.mgrid[by * th:(by + 1) * th, bx * tw:(bx + 1) * tw]
                    used = ((ys >= y0 - pads[0]) & (ys < y0 - pads[0] + 2 * th)
                            & (xs >= x0 - pads[1]) & (xs < x0 - pads[1] + 2 * tw))
                    # In the torus the tile's own block has slot 0: shift by one block.
                    speculator.activation(g * 4 + 2 * ((by - 1) % 2) + (bx - 1) % 2,
                                          block.reshape(size.segment, size.cols).T.ravel(), used.ravel(),
                                          last=(g, by, bx) == (groups - 1, 2, 2))
        result = speculator.run(Job(n=n, q_shift=7, threshold=5, valid=[1] * size.segment))
        for position in range(out_h * out_w):
            y = y0 - pads[0] + position // out_w * stride[0]
            x = x0 - pads[1] + position % out_w * stride[1]
            window = (image[y:y + kh, x:x + kw] >> 12).reshape(kh, kw, groups, size.cols)
            sums = np.einsum("gkyxc,yxgc->gk", kernel_p, window).ravel()
            acc = weights @ requantize(sums, 1, 4)
            pre = pre_activation(acc, scale, bias, 7)
            assert (result.map[:, position] == (pre >= 5)).all()
            assert (result.z[:, position] == dequantize(activate(pre, Function.RELU), Function.RELU)).all()
        assert (result.order == reorder_unit.order(result.map, (3, 1, 0))).all()


@pytest.mark.parametrize("function", Function)
def test_gates(function):
    """Two gates of one vector of three lines."""
    rng = np.random.default_rng(function)
    size, n, chunks, k = SMALL, 21, 3, 8
    speculator = Speculator(size)
    p = rng.integers(-1, 2, (k, chunks * 8))
    rows = p.reshape(k // 4, 4, chunks, 8).transpose(2, 0, 1, 3)  # input t * C + c of the page: word t of segment c
    rows = rows.reshape(chunks, k // 4, 4, 2, 4).swapaxes(3, 4)
    fill(speculator, "projection", encode_ternary(rows), 2)
    weights, scale, bias = tables(speculator, rng, 2 * 24, k)
    speculator.configure(Layer(gate=True, passes=chunks, group_rows=k // 4, p_shift=2))
    vector = rng.integers(-32768, 32768, chunks * 8)
    for chunk in range(chunks):
        speculator.activation(chunk, vector[8 * chunk:8 * chunk + 8], last=chunk == chunks - 1)
    x = requantize(p @ (vector >> 12), 2, 4)
    for gate in range(2):
        job = Job(n=n, project=gate == 0, function=function, threshold=20, q_shift=6, weight_base=gate * 3 * k,
                  table_base=gate * 24)
        result = speculator.run(job)
        own = slice(24 * gate, 24 * gate + n)
        pre = pre_activation(weights[own] @ x, scale[own], bias[own], 6)
        assert result.map.shape == (n, 1) and result.order is None
        assert (result.map[:, 0] == switching_map(pre, function, 20)).all()
        assert (result.z[:, 0] == dequantize(activate(pre, function), function)).all()


@pytest.mark.parametrize("layer, match", [
    (Layer(groups=17), "groups = 17"), (Layer(groups=8, group_rows=5, taps=[()]), "k_rows = 40"),
    (Layer(groups=8, passes=4, group_rows=2, taps=[()] * 4), "projection rows = 64"),
    (Layer(groups=2, passes=2), "taps has 0 passes"),
])
def test_layer_refused(layer, match):
    with pytest.raises(ValueError, match=match):
        Speculator(SMALL).configure(layer)


def test_use_refused():
    speculator = Speculator(SMALL)
    speculator.configure(Layer(gate=True, passes=20))
    with pytest.raises(ValueError, match="no complete tile"):
        speculator.run(Job(n=1))
    with pytest.raises(ValueError, match="nothing was projected"):
        speculator.run(Job(n=1, project=False))
    for address in (20, -1):
        with pytest.raises(ValueError, match=f"address = {address}"):
            speculator.activation(address, np.zeros(8, np.int64))
    with pytest.raises(ValueError, match="shape"):
        speculator.fill("weight", 0, np.zeros(7, np.int64))
    with pytest.raises(ValueError, match="outside"):
        speculator.fill("weight", 0, np.full(8, 40000))
    for _ in range(2):
        speculator.activation(0, np.zeros(8, np.int64), last=True)
    with pytest.raises(ValueError, match="full"):
        speculator.activation(0, np.zeros(8, np.int64))
    with pytest.raises(ValueError, match="outside of the buffers"):
        speculator.run(Job(n=8, weight_base=510))
    with pytest.raises(ValueError, match="q_shift = 16 is not allowed: q_shift must be from 0 to 15"):
        speculator.run(Job(n=8, q_shift=16))
