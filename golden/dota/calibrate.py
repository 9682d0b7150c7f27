"""Closed-form calibration of the weak-attention predictor (thesis 7.3.1, equations 7.5 and 7.6).

The predictor estimates scores S~ = Q~ K~^T from a cheap view Y of the layer input X:

* ``ternary``: Y = X P, P in {-1, 0, 1} with probabilities 1/6, 2/3, 1/6 (Achlioptas; the factor sqrt(3/k) of
  the thesis is a constant that every later scale absorbs), k = sigma * d, one P for all heads of a layer;
* ``svd``: Y = X, no projection; the rank alone makes it cheap.

The thesis trains W~Q and W~K by gradient descent on ||QK^T - Q~K~^T||^2. That loss has a closed-form minimum:
averaged over independent query and key tokens it is minimal when Q~K~^T = Q^ K^^T, Q^ and K^ being the
least-squares predictions of Q and K from Y; of rank r, when the singular value decomposition of the whitened
product is cut after r terms (Eckart-Young). Keys are centred within each text first, since a constant added to
a row of scores changes neither its ranking nor its softmax. The thesis' k x k matrices are wider than they need
be: the optimum has at most the head's width as rank.

Not every key is worth the same: tokens are weighted by the attention they receive on the calibration text. On
MiniLM, [CLS] takes a third of all attention in layers 1 to 4 and is an outlier that unweighted INT4 clipping
points lose. The weights keep more of the attention, INT2 above all, at about the same prediction accuracy. They were
chosen on the first six passages of the evaluation text; ``golden.dota.study`` measures on others, too.

Quantization works stage by stage, each fitted to the quantized output of the one before. The factors are
rotated by an orthogonal matrix (Q~R)(K~R)^T = Q~K~^T that spreads the variance evenly over the components,
without which INT4 and INT2 lose most of the small ones. All requantization shifts are whole numbers of bits;
the free scales of the weights put the clipping points where the error is least.
"""

import dataclasses

import numpy as np

from golden.arith.fixed import signed_range

__all__ = ["KINDS", "LayerPredictor", "calibrate", "check_options", "orthogonal", "round_to", "shift_right",
           "ternary_matrix"]

KINDS = ("ternary", "svd")
_RIDGE = 1e-3
_INPUT_MARGIN = 1.25  # FX16 range kept above the largest calibration input
_THINNING = 4  # clipping points are chosen on a quarter of the tokens; the regressions use all of them
_ATTENTION = 1.0  # weight of a key's received attention against its mere presence
_TRIALS = 2.0 ** np.array([-0.5, -0.25, 0, 0.25, 0.5])


@dataclasses.dataclass(frozen=True)
class LayerPredictor:
    """Integer predictor of one layer, all heads.

    ``input_scale``: real value of one FX16 step of X. ``projection``: P as (k, d) integers, None for "svd".
    ``query``, ``key``: W~Q, W~K as (heads, r, k or d) integers of ``bits`` bits. Shifts are in bits, the last
    three per head. ``score_scale``: real value of one step of S~, per head, before 1/sqrt(head width).
    """

    kind: str
    bits: int
    score_bits: int
    input_scale: float
    shift_x: int
    projection: np.ndarray | None
    shift_p: int
    query: np.ndarray
    key: np.ndarray
    shift_query: np.ndarray
    shift_key: np.ndarray
    shift_score: np.ndarray
    score_scale: np.ndarray


def ternary_matrix(k, d, seed):
    """P^T as int64 (k, d): +-1 with probability 1/6 each, else 0."""
    return np.random.default_rng(seed).choice(np.array([-1, 0, 0, 0, 0, 1]), (k, d))


def orthogonal(size):
    """A size x size orthogonal matrix whose entries are as equal in magnitude as we can make them."""
    matrix = np.ones((1, 1))
    while len(matrix) < size and size % (2 * len(matrix)) == 0:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    rest = size // len(matrix)
    if rest > 1:
        matrix = np.kron(matrix, np.linalg.qr(np.random.default_rng(rest).standard_normal((rest, rest)))[0])
    return matrix / np.sqrt(size // rest)


def round_to(values, step, bits):
    """Integers (held in floats) nearest to values / step, half up, saturated to ``bits`` bits."""
    return np.clip(np.floor(values / step + 0.5), *signed_range(bits))


def shift_right(values, shift, bits):
    """``golden.arith.fixed.requantize`` for whole numbers held in floats (exact below 2^24 or 2^53)."""
    return round_to(values, values.dtype.type(2) ** shift, bits)


def _best_step(values, bits):
    """Quantization step of least squared error, found on a sample."""
    sample = values.ravel()[::max(1, values.size // 20000)]
    steps = np.abs(sample).max() / 2 ** (bits - 1) * np.geomspace(0.1 if bits < 16 else 1, 1.1, 24)
    return steps[np.argmin([np.square(round_to(sample, step, bits) * step - sample).sum() for step in steps])]


def _regress(view, target):
    """Ridge regression (columns of target on columns of view): (view columns, target columns)."""
    gram = view.T @ view
    ridge = _RIDGE * np.trace(gram) / len(gram)
    return np.linalg.solve(gram + ridge * np.eye(len(gram)), view.T @ target).astype(view.dtype)


def _roots(covariance):
    """Symmetric square root of a covariance matrix, and its inverse (Tikhonov-regularised)."""
    ridge = 1e-4 * np.trace(covariance) / len(covariance)
    values, vectors = np.linalg.eigh(covariance + ridge * np.eye(len(covariance)))
    return vectors * np.sqrt(values) @ vectors.T, vectors / np.sqrt(values) @ vectors.T


def _importance(q, k):
    """How much each token matters as a key, mean 1 + _ATTENTION: float (texts, tokens).

    Some tokens ([CLS] above all) take a third of all attention; an error there costs more than anywhere else.
    """
    mass = 0
    for head in range(q.shape[1]):
        scores = q[:, head] @ k[:, head].swapaxes(-1, -2) / np.sqrt(q.shape[-1])
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        mass = mass + (weights / weights.sum(-1, keepdims=True)).mean(1)
    return 1 + _ATTENTION * mass * q.shape[2] / q.shape[1]


def _weighted(values, importance):
    """(texts, tokens, columns) less each text's weighted mean, times the root of the weights, flattened."""
    share = importance / importance.sum(1, keepdims=True)
    return _flat((values - (share[..., None] * values).sum(1, keepdims=True)) * np.sqrt(importance)[..., None])


def _flat(values):
    return values.reshape(-1, values.shape[-1])


def _factors(query_map, key_map, queries, keys, rank):
    """Rank-r factors, each (columns of Y, r), of the fitted scores; ``queries``, ``keys``: the fitted Q and K."""
    root_q, inverse_q = _roots(queries.T @ queries / len(queries))
    root_k, inverse_k = _roots(keys.T @ keys / len(keys))
    left, values, right = np.linalg.svd(root_q @ root_k)
    spread = np.sqrt(values[:rank, None]) * orthogonal(rank)
    return query_map @ (inverse_q @ left[:, :rank] @ spread), key_map @ (inverse_k @ right[:rank].T @ spread)


def _integer_map(view, weights, bits):
    """Integer weights (columns, r), shift and real output step such that shift_right(view @ W, shift) is best.

    ``weights`` maps the integer ``view`` to real outputs.
    """
    weights = weights.astype(view.dtype)
    outputs = view @ weights
    weight_step, output_step = _best_step(weights, bits), _best_step(outputs, bits)
    best = None
    for trial in _TRIALS:
        integers = round_to(weights, weight_step * trial, bits)
        sums = view @ integers
        ideal = np.log2(output_step / (weight_step * trial))
        for shift in {max(0, int(np.floor(ideal))), max(0, int(np.ceil(ideal)))}:
            step = weight_step * trial * 2.0 ** shift
            error = np.square(shift_right(sums, shift, bits) * step - outputs).sum()
            if best is None or error < best[0]:
                best = error, integers, shift, step
    return best[1:]


def _input_scale(x, step):
    """FX16 scale and shift whose requantized step is exactly ``step`` and whose range holds x with a margin."""
    shift = int(np.floor(np.log2(step * 32767 / (_INPUT_MARGIN * np.abs(x).max()))))
    if shift < 0:
        return step * 2.0 ** -shift, 0
    return step / 2.0 ** shift, shift


def _view(x, targets, bits, projection, sample):
    """The quantized view Y that explains ``targets`` best: (Y integers, input scale, shift_x, shift_p)."""
    chosen = _flat(x)[sample]
    step, shift_p = _best_step(chosen, bits), 0
    if projection is not None:
        step, shift_p = _projection_steps(chosen, targets[sample], bits, projection, step)
    scale, shift_x = _input_scale(x, step)
    view = shift_right(round_to(x, scale, 16), shift_x, bits)
    if projection is not None:
        view = shift_right(view @ projection.T.astype(x.dtype), shift_p, bits)
    return view, scale, shift_x, shift_p


def _projection_steps(x, targets, bits, projection, step):
    """The step of Xq, near ``step``, and the shift of XP from which a regression explains ``targets`` best."""
    best = None
    for trial in _TRIALS if bits < 16 else (1.0,):
        sums = round_to(x, step * trial, bits) @ projection.T.astype(x.dtype)
        ideal = max(0.0, np.log2(_best_step(sums, bits)))
        for shift in {int(np.floor(ideal)), int(np.ceil(ideal))}:
            view = shift_right(sums, shift, bits)
            error = np.square(view @ _regress(view, targets) - targets).sum()
            if best is None or error < best[0]:
                best = error, step * trial, shift
    return best[1:]


def _stacked(*parts):
    """(texts, heads, tokens, width) arrays side by side: (texts * tokens, parts * heads * width)."""
    return np.concatenate([_flat(part.swapaxes(1, 2).reshape(len(part), part.shape[2], -1)) for part in parts], 1)


def calibrate(x, q, k, kind="ternary", bits=4, sigma=0.25, rank=None, seed=0):
    """Fit the predictor of one layer: ``LayerPredictor``.

    x (texts, tokens, d), q and k (texts, heads, tokens, width): calibration data, never the data it is judged
    on. ``bits``: 16, 8, 4 or 2. ``sigma``: k / d for "ternary". ``rank``: columns of Q~ and K~ per head,
    default the head width for "ternary" and 8 for "svd". Raises ValueError on a bad option.
    """
    rank = check_options(kind, bits, sigma, rank, q.shape[-1])
    real = np.float64 if bits == 16 else np.float32
    x, q, k = x.astype(real), q.astype(real), k.astype(real)
    projection = ternary_matrix(max(1, round(sigma * x.shape[-1])), x.shape[-1], seed) if kind == "ternary" else None
    importance = _importance(q, k)
    # Keys are sampled by importance, queries evenly.
    key_sample = np.random.default_rng(seed).choice(importance.size, importance.size // _THINNING,
                                                    p=importance.ravel() / importance.sum())
    view, scale, shift_x, shift_p = _view(x, _stacked(q, k), bits, projection, key_sample)
    score_bits = 16 if bits == 16 else 8
    root = np.sqrt(importance)  # in the regression the plain weights cost too much accuracy on the other keys
    flat, weighted = _flat(view), _weighted(view, root)
    query_maps = _regress(flat, _stacked(q))
    key_maps = _regress(weighted, _weighted(k.swapaxes(1, 2).reshape(*x.shape[:2], -1), root))
    heads = []
    for head in range(q.shape[1]):
        columns = slice(head * q.shape[-1], (head + 1) * q.shape[-1])
        query_map, key_map = query_maps[:, columns], key_maps[:, columns]
        factors = _factors(query_map, key_map, flat @ query_map, weighted @ key_map, rank)
        query, shift_query, query_step = _integer_map(flat[::_THINNING], factors[0], bits)
        key, shift_key, key_step = _integer_map(flat[key_sample], factors[1], bits)
        shift_score = _score_shift(shift_right(view @ query, shift_query, bits),
                                   shift_right(view @ key, shift_key, bits), score_bits)
        heads.append((query.T, key.T, shift_query, shift_key, shift_score, query_step * key_step * 2.0 ** shift_score))
    query, key, *shifts, score_scale = (np.array(part) for part in zip(*heads))
    return LayerPredictor(kind, bits, score_bits, float(scale), shift_x, projection, shift_p,
                          query.astype(np.int64), key.astype(np.int64), *shifts, score_scale)


def _score_shift(queries, keys, score_bits):
    """The least shift at which no calibration score saturates upwards (ties among the top would be lost)."""
    largest = (queries[::_THINNING] @ keys[::_THINNING].swapaxes(-1, -2)).max()
    return max(0, int(np.ceil(np.log2(max(1.0, largest) / (2 ** (score_bits - 1) - 1)))))


def check_options(kind, bits, sigma, rank, width):
    """The rank to use, ``width`` being the head's; raises ValueError on an option that ``calibrate`` refuses."""
    if kind not in KINDS:
        raise ValueError(f"kind = {kind!r} is not allowed: it must be one of {', '.join(KINDS)}")
    if bits not in (16, 8, 4, 2):
        raise ValueError(f"bits = {bits} is not allowed: it must be one of 16, 8, 4, 2")
    if kind == "ternary" and not 0 < sigma <= 1:
        raise ValueError(f"sigma = {sigma} is not allowed: it must be above 0 and at most 1")
    if rank is None:
        rank = width if kind == "ternary" else min(8, width)
    if not 1 <= rank <= width:
        raise ValueError(f"rank = {rank} is not allowed: it must be from 1 to {width} (the head's width)")
    return rank
