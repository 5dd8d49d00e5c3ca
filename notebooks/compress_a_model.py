# %% [markdown]
# # Compress a model
#
# A small network learns to read handwritten digits; then it is made smaller in the ways
# that rxcore has: integers of few bits, pruning while it trains, training that is
# sparse from the first step, sparse products, and units removed for good. At the end
# stands one table of measured accuracy, bytes and times. Bytes count everything that is
# stored: codes with their padding, scales, indices, biases.

# %%
import time
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import rxcore as rx
import rxcore.numpy as rnp
from rxcore import prune, quant, sparse

INK, GREY = "#22252a", "#9aa3ad"
BLUE, RED, GREEN, OCHRE = "#2f6db5", "#c8322b", "#3a8f5c", "#b07a1e"
plt.rcParams.update(
    {
        "axes.edgecolor": GREY,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlelocation": "left",
        "axes.titlesize": 10,
        "figure.dpi": 80,
        "figure.constrained_layout.use": True,
        "font.size": 9,
        "legend.frameon": False,
    }
)

# %% [markdown]
# ## The network, trained densely
#
# 1,797 images of 8 x 8 pixels, a fifth of them held out; three layers; Adam. `train`
# runs any step over shuffled batches. A pass over the data is one compiled call, so
# that all ways of training below differ in their step alone.

# %%
WIDTHS, BATCH, EPOCHS = (64, 256, 128, 10), 64, 60

pixels, digits = load_digits(return_X_y=True)
train_x, test_x, train_y, test_y = train_test_split(
    (pixels / 16).astype(np.float32),
    digits.astype(np.int32),
    test_size=0.2,
    stratify=digits,
    random_state=0,
)
PASS = len(train_x) // BATCH
TOTAL = EPOCHS * PASS


def init(key):
    keys = rx.random.split(key, len(WIDTHS) - 1)
    normal = rx.nn.initializers.he_normal()
    shapes = zip(keys, WIDTHS[:-1], WIDTHS[1:], strict=True)
    return [{"weight": normal(k, (m, n)), "bias": rnp.zeros(n)} for k, m, n in shapes]


def apply(params, x):
    for k, layer in enumerate(params):
        x = x @ layer["weight"] + layer["bias"]
        x = rx.nn.relu(x) if k + 1 < len(params) else x
    return x


def loss(params, x, y):
    return rx.nn.softmax_cross_entropy(apply(params, x), y)


def train(step, carry, epochs=EPOCHS, watch=None):
    @rx.jit
    def one_pass(carry, x, y, order):
        return rx.scan(lambda c, rows: (step(c, x[rows], y[rows]), None), carry, order)[
            0
        ]

    shuffle = np.random.default_rng(0)
    x, y = rnp.asarray(train_x), rnp.asarray(train_y)
    for _ in range(epochs):
        order = shuffle.permutation(len(x))[: PASS * BATCH].reshape(PASS, BATCH)
        carry = one_pass(carry, x, y, order.astype(np.int32))
        if watch is not None:
            watch(carry)
    return carry


optimizer = rx.optim.adam(1e-3)


def dense_step(carry, x, y):
    params, moments = carry
    return optimizer.update(rx.grad(loss)(params, x, y), moments, params)


start = init(rx.random.key(0))
begin = time.perf_counter()
dense, _ = train(dense_step, (start, optimizer.init(start)))
print(f"{TOTAL} steps in {time.perf_counter() - begin:.1f} s, compilation included")

# %% [markdown]
# Every way to keep the network is a pytree and a function `predict(packed, x)`. It is
# entered in the table by `enter`, which measures it.


# %%
def nbytes(tree):
    return sum(np.asarray(leaf).nbytes for leaf in rx.tree.leaves(tree))


def milliseconds(f, *args, enough=0.05):
    """Return the median time of a call, its result waited for."""
    rx.block_until_ready(f(*args))
    spent = []
    while len(spent) < 5 or sum(spent) < enough:
        before = time.perf_counter()
        rx.block_until_ready(f(*args))
        spent.append(time.perf_counter() - before)
    return 1e3 * float(np.median(spent))


table = []


def accuracy(logits):
    return float((np.asarray(logits).argmax(1) == test_y).mean())


def enter(name, predict, packed, color, stored=None):
    run = rx.jit(predict)
    hit = accuracy(run(packed, test_x))
    times = [milliseconds(run, packed, rnp.asarray(test_x[:n])) for n in (1, 256)]
    size = nbytes(packed) if stored is None else stored
    table.append((name, hit, size, *times, color))
    print(f"{name:<34} {hit:.2%} {size:>9,} bytes {nbytes(dense) / size:5.1f}x smaller")


enter("dense, float32", apply, dense, INK)

# %% [markdown]
# ## Quantize
#
# Weights are known; what goes into a layer must be seen. A calibrator gathers
# statistics from batches (they can be merged, in any grouping) and chooses a range.
# Below is the distribution of what enters the third layer. A narrower range than that
# of the data cuts off what is rare and rounds the rest more finely: the curves show the
# signal to noise ratio of every possible cut, the marks what the calibrators chose from
# a histogram.


# %%
def inputs_of_layers(params, x):
    found = []
    for layer in params:
        found.append(x)
        x = rx.nn.relu(x @ layer["weight"] + layer["bias"])
    return found


seen = inputs_of_layers(dense, rnp.asarray(train_x))
values = seen[2]
calibrators = {
    "minmax": (quant.minmax, INK),
    "percentile 99.9": (lambda spec: quant.percentile(spec, 99.9), OCHRE),
    "kl": (quant.kl, GREEN),
    "mse": (quant.mse, RED),
}


def sqnr(x, y):
    noise = np.asarray(x, np.float64) - np.asarray(y, np.float64)
    return 10 * np.log10((np.asarray(x, np.float64) ** 2).sum() / (noise**2).sum())


figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2))
flat = np.asarray(values).ravel()
left.hist(flat, 120, color=GREY)
left.set(yscale="log", xlabel="activation", ylabel="count")
left.set_title(f"Inputs of the third layer, {np.mean(flat == 0):.0%} are zero")
cuts = np.linspace(0.15, 1, 60) * flat.max()
for bits, style in ((8, "-"), (4, "--"), (3, ":")):
    spec = quant.QuantSpec(bits=bits, signed=False, symmetric=False)
    cut_at = rx.jit(lambda x, scale, spec=spec: rx.fake_quant(x, spec, scale))
    curve = [sqnr(values, cut_at(values, rnp.asarray(c / spec.highest))) for c in cuts]
    right.plot(cuts, curve, style, color=BLUE, label=f"{bits} bits")
    for name, (make, color) in calibrators.items():
        c = make(spec)
        stats = c.update(c.init(values), values[:700])
        stats = c.merge(stats, c.update(c.init(values), values[700:]))
        high = float(c.range(stats)[1].max())
        reached = sqnr(values, rx.fake_quant(values, stats))
        label = name if bits == 8 else None
        right.plot(high, reached, "o", color=color, label=label)
right.set(xlabel="where the codes end", ylabel="SQNR, dB", ylim=(-12, None))
right.set_title("Where to cut")
right.legend(ncols=2, fontsize=8, loc="lower right")
print(f"largest activation {flat.max():.2f}")

# %% [markdown]
# With 8 bits there is room for everything and minmax is nearly as good as any; with 3
# or 4 bits the cut matters, and `mse` finds the top of the curve. `kl` keeps the shape
# of the distribution rather than the error small, and is known for 8 bits.
#
# Weights next: `quant.report` for each layer, by bits and by how many weights share a
# scale.

# %%
kinds = {
    "8 bits, one scale": quant.QuantSpec(),
    "8 bits, a scale per output": quant.QuantSpec(axis=1),
    "4 bits, one scale": quant.QuantSpec(bits=4),
    "4 bits, a scale per output": quant.QuantSpec(bits=4, axis=1),
    "4 bits, blocks of 32": quant.QuantSpec(bits=4, block_size=(32, 1)),
    "2 bits, blocks of 32": quant.QuantSpec(bits=2, block_size=(32, 1)),
}
figure, axes = plt.subplots(figsize=(10, 2.8))
axes.set(ylabel="SQNR, dB", xticks=range(3))
axes.set_xticklabels([f"layer {k + 1}" for k in range(3)])
colors = plt.cm.Blues(np.linspace(0.9, 0.3, len(kinds)))
for place, (name, spec) in enumerate(kinds.items()):
    packed = [rx.quantize(p["weight"], spec) for p in dense]
    reports = [quant.report(p["weight"], q) for p, q in zip(dense, packed, strict=True)]
    at = np.arange(3) + (place - 2.5) * 0.13
    axes.bar(at, [r.sqnr for r in reports], 0.12, color=colors[place], label=name)
    total = quant.report([p["weight"] for p in dense], packed)
    print(f"{name:<28} {total.bits_per_weight:.2f} bits per weight, {total.ratio:.2f}x")
    axes.legend(ncols=3, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0))

# %% [markdown]
# `quant.matmul` multiplies the integers themselves, sums in int32, and fuses scales,
# bias and activation into the way out. Packed weights of 4 bits stay packed; codes of 3
# bits take the room of 4.

# %%
INPUTS = quant.QuantSpec(signed=False, symmetric=False)


def pack_integers(params, spec):
    packed = []
    for layer, x in zip(params, inputs_of_layers(params, train_x), strict=True):
        c = quant.minmax(INPUTS)
        stats = c.update(c.init(x.shape), rnp.asarray(x))
        weight = rx.quantize(layer["weight"], spec)
        packed.append({"weight": weight, "bias": layer["bias"], "input": stats})
    return packed


def predict_integers(packed, x):
    for k, p in enumerate(packed):
        act = rx.nn.relu if k + 1 < len(packed) else None
        x = quant.matmul(
            x, p["weight"], x_spec=p["input"], bias=p["bias"], activation=act
        )
    return x


PER_OUTPUT = {bits: quant.QuantSpec(bits=bits, axis=1) for bits in (8, 4, 3, 2)}
for bits, spec in PER_OUTPUT.items():
    packed = pack_integers(dense, spec)
    enter(f"int{bits}, after training", predict_integers, packed, BLUE)


def predict_faked(packed, x):
    for k, p in enumerate(packed):
        x = rx.fake_quant(x, p["input"]) @ rx.dequantize(p["weight"]) + p["bias"]
        x = rx.nn.relu(x) if k + 1 < len(packed) else x
    return x


packed, images = pack_integers(dense, PER_OUTPUT[8]), rnp.asarray(test_x)
off = abs(predict_integers(packed, images) - predict_faked(packed, images)).max()
print(f"integers against the same numbers in float32: {float(off):.1e} in the logits")

# %% [markdown]
# Two bits are too few for weights that were not trained for them. `rx.fake_quant`
# rounds in the forward pass and lets gradients through, and with `scale_gradient="lsq"`
# scales are learnt too. A third of the epochs of such training, from the dense weights:

# %%
TWO = PER_OUTPUT[2]


def rounded(params):
    return [
        {
            "weight": rx.fake_quant(p["weight"], TWO, p["scale"], scale_gradient="lsq"),
            "bias": p["bias"],
        }
        for p in params
    ]


def aware_step(carry, x, y):
    params, moments = carry
    grads = rx.grad(lambda p: loss(rounded(p), x, y))(params)
    params, moments = optimizer.update(grads, moments, params)
    safe = [{**p, "scale": rnp.maximum(p["scale"], 1e-4)} for p in params]
    return safe, moments


aware = [{**p, "scale": quant.lsq_scale(p["weight"], TWO)} for p in dense]
aware, _ = train(aware_step, (aware, optimizer.init(aware)), EPOCHS // 3)
packed = pack_integers(rounded(aware), TWO)
for p, learnt in zip(packed, aware, strict=True):
    p["weight"] = rx.quantize(learnt["weight"], TWO, scale=learnt["scale"])
enter("int2, trained for it", predict_integers, packed, GREEN)

# %% [markdown]
# ## Prune while training
#
# Zhu and Gupta's cubic schedule removes much at first, when there is much to spare, and
# little at the end. `prune.gradual` counts steps, makes new masks when they are due
# (also inside of a compiled loop), and applies them.


# %%
def train_pruned(sparsity, watch=None):
    schedule = prune.cubic(12 * PASS, 45 * PASS, PASS, final=sparsity)
    pruner = prune.gradual(schedule)

    def step(carry, x, y):
        params, moments, pruning = carry
        grads = rx.grad(loss)(params, x, y)
        params, moments = optimizer.update(grads, moments, params)
        params, pruning = pruner.update(params, pruning)
        return params, moments, pruning

    carry = (start, optimizer.init(start), pruner.init(start))
    params, _, pruning = train(step, carry, watch=watch)
    return params, pruning.masks


judge = rx.jit(apply)
history = []


def note(carry):
    share = prune.report(prune.prunable(carry[0]), carry[2].masks).sparsity
    history.append((share, accuracy(judge(carry[0], test_x))))


pruned = {0.9: train_pruned(0.9, note), 0.95: train_pruned(0.95)}
print(prune.report(*pruned[0.9]))

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 2.8))
share, hits = np.asarray(history).T
left.plot(np.arange(EPOCHS) + 1, 100 * share, color=BLUE, label="weights removed")
left.plot(np.arange(EPOCHS) + 1, 100 * hits, color=RED, label="held-out accuracy")
left.set(xlabel="epoch", ylabel="%", ylim=(0, 103))
left.legend(loc="lower right")
mask = np.asarray(pruned[0.9][1][0]["weight"])
right.imshow(mask.T, cmap="gray_r", aspect="auto", interpolation="nearest")
right.set(xlabel="pixel", ylabel="hidden unit")
title = right.set_title("First layer: what is kept at 90 %")

# %% [markdown]
# ## Sparse from the first step
#
# RigL never trains the dense network: it starts from a random mask, and once an epoch
# drops the smallest weights and grows those with the largest gradients. The images show
# how many weights each of the 64 pixels has in the first layer, as training goes on.
# Nothing told the network where digits have their ink.


# %%
def train_sparse(sparsity, watch=None):
    state = prune.rigl_init(
        start,
        sparsity,
        key=rx.random.key(1),
        begin=PASS,
        end=45 * PASS,
        frequency=PASS,
        fraction=0.5,
        drop="signed",
    )
    params = prune.apply(start, state.masks)

    def step(carry, x, y):
        state, params, moments = carry
        grads = lambda p: rx.grad(loss)(p, x, y)  # noqa: E731
        return prune.train_step(state, params, moments, grads, optimizer.update)

    carry = (state, params, optimizer.init(params))
    state, params, _ = train(step, carry, watch=watch)
    return params, state.masks, carry[0].masks


moving = []
rigged, final_masks, first_masks = train_sparse(
    0.9, lambda c: moving.append(np.asarray(c[0].masks[0]["weight"]))
)
moving.insert(0, np.asarray(first_masks[0]["weight"]))
figure = plt.figure(figsize=(10, 3.8))
grid = figure.add_gridspec(2, 6)
top = max(m.sum(1).max() for m in moving)
for k, epoch in enumerate((0, 2, 5, 15, 30, EPOCHS)):
    axes = figure.add_subplot(grid[0, k])
    shown = moving[epoch].sum(1).reshape(8, 8)
    axes.imshow(shown, cmap="magma", vmin=0, vmax=top)
    axes.set(xticks=[], yticks=[])
    axes.set_title("at first" if epoch == 0 else f"epoch {epoch}")
axes = figure.add_subplot(grid[1, :])
kept = [(m & moving[0]).sum() / moving[0].sum() for m in moving]
fresh = [(b & ~a).sum() / a.sum() for a, b in pairwise(moving)]
axes.plot(kept, color=BLUE, label="still there from the first mask")
axes.plot(np.arange(1, len(moving)), fresh, color=RED, label="new in this epoch")
axes.set(xlabel="epoch", ylabel="share of weights", ylim=(0, 1.02))
axes.legend()
count = {int(m.sum()) for m in moving}
print(f"active weights in the first layer, at all times: {count}")

# %% [markdown]
# ## Run what is left
#
# Masks alone save nothing. `sparse.CSR` stores what is not zero, and `rx.csr_matmul`
# multiplies with that. The second way to store it keeps integers of 8 bits, a scale for
# 32 of them, and the narrowest indices that reach.


# %%
def pack_rows(params):
    return [
        {"weight": sparse.CSR.from_dense(p["weight"].T), "bias": p["bias"]}
        for p in params
    ]


def predict_rows(packed, x):
    x = x.T
    for k, p in enumerate(packed):
        x = rx.csr_matmul(p["weight"], x) + p["bias"][:, None]
        x = rx.nn.relu(x) if k + 1 < len(packed) else x
    return x.T


def narrow(indices, count):
    return rnp.asarray(np.asarray(indices).astype(np.min_scalar_type(count)))


def pack_small(params):
    packed, spec = [], quant.QuantSpec(block_size=(32,))
    for p in pack_rows(params):
        a = p["weight"]
        packed.append(
            {
                "values": rx.quantize(a.data, spec),
                "indices": narrow(a.indices, a.shape[1] - 1),
                "indptr": narrow(a.indptr, a.nse),
                "bias": p["bias"],
            }
        )
    return packed


def predict_small(packed, x):
    def widened(p, columns):
        indices, indptr = (p[k].astype(rnp.int32) for k in ("indices", "indptr"))
        shape = (len(p["bias"]), columns)
        return sparse.CSR(rx.dequantize(p["values"]), indices, indptr, shape)

    shapes = WIDTHS[:-1]
    layers = [
        {"weight": widened(p, n), "bias": p["bias"]}
        for p, n in zip(packed, shapes, strict=True)
    ]
    return predict_rows(layers, x)


def bytes_of_rows(packed):
    parts = [(p["weight"].indices, p["weight"].indptr) for p in packed]
    return nbytes(packed) + nbytes(parts)


networks = {
    "cubic, 90 %": (pruned[0.9][0], RED),
    "cubic, 95 %": (pruned[0.95][0], RED),
    "RigL, 90 %": (rigged, OCHRE),
}
for name, (params, color) in networks.items():
    rows, small = pack_rows(params), pack_small(params)
    off = abs(predict_rows(rows, images) - judge(params, images)).max()
    print(f"{name}: sparse against dense products {float(off):.0e} in the logits")
    enter(name, predict_rows, rows, color, bytes_of_rows(rows))
    enter(f"{name}, int8", predict_small, small, color)

# %% [markdown]
# The pattern of a concrete CSR belongs to the structure of its pytree, not to its
# leaves, so its indices are counted here by hand.
#
# ## Remove whole units
#
# Masks over whole outputs need no sparse products: after `prune.shrink` the network is
# a smaller dense one. Three quarters of the hidden units go, by their L2 norm, in one
# shot; a third of the epochs repairs the rest.

# %%
scores = prune.score.l2(prune.prunable(dense))
scores[2]["weight"] = None  # the ten outputs stay
masks = rx.prune_mask(scores, 0.75, structure="filter")


def repair_step(carry, x, y):
    params, moments = carry
    grads = prune.mask_gradients(rx.grad(loss)(params, x, y), masks)
    params, moments = optimizer.update(grads, moments, params)
    return prune.apply(params, masks), moments


masked = prune.apply(dense, masks)
print(f"right after the cut: {accuracy(judge(masked, test_x)):.2%}")
masked, _ = train(repair_step, (masked, optimizer.init(masked)), EPOCHS // 3)
shrunk = prune.shrink(masked, masks, activation=rx.nn.relu)
print("weights:", ", ".join(str(p["weight"].shape) for p in shrunk))
off = abs(apply(shrunk, images) - apply(masked, images)).max()
print(f"shrunk against masked: {float(off):.0e} in the logits")
enter("75 % of units removed", apply, shrunk, GREY)
enter(
    "75 % of units removed, int8",
    predict_integers,
    pack_integers(shrunk, PER_OUTPUT[8]),
    GREY,
)

# %% [markdown]
# ## Accuracy against bytes

# %%
print(f"{'':<32}{'accuracy':>9}{'bytes':>10}{'smaller':>9}{'ms, 1':>9}{'ms, 256':>9}")
for name, hit, size, one, many, _ in table:
    print(
        f"{name:<32}{hit:>9.2%}{size:>10,}{nbytes(dense) / size:>8.1f}x"
        f"{one:>9.4f}{many:>9.4f}"
    )
figure, axes = plt.subplots(figsize=(10, 4.2))
axes.set(xscale="log", xlabel="kB stored", ylabel="held-out accuracy, %")
axes.grid(color=GREY, alpha=0.25, linewidth=0.6)
axes.margins(x=0.15, y=0.12)
drawn = [row for row in table if row[1] > 0.9]
for k, (name, hit, size, *_, color) in enumerate(sorted(drawn, key=lambda r: r[2])):
    axes.plot(size / 1e3, 100 * hit, "o", color=color)
    axes.annotate(
        name,
        (size / 1e3, 100 * hit),
        xytext=(4, 5 if k % 2 else -11),
        textcoords="offset points",
        fontsize=7,
    )
missing = [row[0] for row in table if row[1] <= 0.9]
print("\nbelow 90 %, not drawn:", ", ".join(missing) or "none")

# %% [markdown]
# The held-out part has 360 images, so that differences of a few tenths are one image,
# and all this is one seed. Times are another matter: this network is so small that a
# call's fixed cost hides what the products take.
#
# ## Where it becomes faster
#
# A layer of 1,024 x 1,024 with one image at a time reads each weight once, so time
# follows bytes. Here are the sparse product at many sparsities and the integer product,
# against the dense one on this machine.

# %%
SIDE = 1024
weight = rx.random.normal(rx.random.key(7), (SIDE, SIDE))
x = rx.random.normal(rx.random.key(8), (1, SIDE))
levels = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
dense_product = rx.jit(lambda w, x: x @ w)
whole = milliseconds(dense_product, weight, x, enough=0.2)
by_rows, stored = [], {"dense, float32": weight.nbytes}
for share in levels:
    mask = rx.prune_mask(abs(weight), share)
    a = sparse.CSR.from_dense(prune.apply(weight, mask).T)
    run = rx.jit(lambda a, x: rx.csr_matmul(a, x[0]))
    by_rows.append(milliseconds(run, a, x, enough=0.2))
    stored[f"csr_matmul at {share:.0%}"] = nbytes([a.data, a.indices, a.indptr])
stats = quant.minmax(INPUTS)
stats = stats.update(stats.init(x), x)
integers = {}
for bits in (8, 4):
    q = rx.quantize(weight, quant.QuantSpec(bits=bits, axis=1))
    run = rx.jit(lambda x, q, s: quant.matmul(x, q, x_spec=s))
    integers[bits] = milliseconds(run, x, q, stats, enough=0.2)
    stored[f"int{bits}"] = q.nbytes

figure, axes = plt.subplots(figsize=(10, 3))
axes.axhline(whole, color=INK, label="dense, float32")
for (bits, spent), style in zip(integers.items(), ("-", "--"), strict=True):
    axes.axhline(spent, color=BLUE, linestyle=style, label=f"int{bits}")
axes.plot(levels, by_rows, "o-", color=RED, label="csr_matmul")
axes.set(xlabel="share of weights that are zero", ylabel="ms", ylim=(0, None))
axes.legend()
spent = [whole, *by_rows, *integers.values()]
for (name, size), ms in zip(stored.items(), spent, strict=True):
    print(f"{name:<18}{size / 1e6:6.2f} MB {ms:8.4f} ms {whole / ms:6.2f}x")
