# %% [markdown]
# # Composing transforms
#
# `jit`, `grad`, `vmap` and `scan` take functions and return functions, so they nest in
# any order. This notebook builds with them what is tedious by hand: the gradient of
# each example of a batch, products with a Hessian that is never formed, a derivative
# through a root finder, and a loop over time that is one kernel.

# %%
import time

import matplotlib.pyplot as plt
import numpy as np

import rxcore as rx
import rxcore.numpy as rnp

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


def seconds(f, *args, runs=20):
    """Return the median time of a call, its result waited for."""
    rx.block_until_ready(f(*args))
    spent = []
    for _ in range(runs):
        begin = time.perf_counter()
        rx.block_until_ready(f(*args))
        spent.append(time.perf_counter() - begin)
    return float(np.median(spent))


# %% [markdown]
# ## One function, one kernel
#
# `rx.jit` captures a function once for each structure and dtype of its arguments and
# compiles it. `rx.inspect` shows every stage of that: what was captured, the loops it
# became, their source, and how many kernels one call launches. Here a chain of four
# elementwise operations and its derivative each become one loop over the data.


# %%
def swish(x):
    return x / (1 + rnp.exp(-x))


def slope(x):
    return rx.vmap(rx.grad(swish))(x)


x = rnp.linspace(-6, 6, 1_000_000)
for f in (swish, slope):
    report = rx.inspect(f)(x)
    print(f"{f.__name__}: {report.launches} launch, fallbacks: {report.fallbacks}")
print()
print(rx.inspect(swish)(x).graph)

# %%
at = x[::5000]
figure, axes = plt.subplots(figsize=(6, 2.4))
axes.plot(at, swish(at), color=BLUE, label="swish")
axes.plot(at, slope(at), color=RED, label="its derivative, by vmap(grad)")
axes.legend()
exact = rx.logistic(at) * (1 + at * (1 - rx.logistic(at)))
print(f"largest error of the derivative: {float(abs(slope(at) - exact).max()):.1e}")

# %% [markdown]
# ## The gradient of each example
#
# Frameworks give the gradient of the mean loss. `vmap(grad(loss))` gives one gradient
# for each example, with no loop and no change to the model. One use: examples whose
# gradients stay large after training are those that contradict the rest. Below, two
# half-moons, where 6 % of the labels were flipped.

# %%
COUNT, FLIPPED = 400, 24
noise = np.random.default_rng(0)
angle = np.pi * noise.uniform(size=COUNT)
clean = np.arange(COUNT) % 2
points = np.where(
    clean[:, None],
    np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], 1),
    np.stack([np.cos(angle), np.sin(angle)], 1),
)
points = (points + 0.12 * noise.normal(size=points.shape)).astype(np.float32)
flipped = noise.permutation(COUNT)[:FLIPPED]
labels = clean.astype(np.int32)
labels[flipped] = 1 - labels[flipped]

model = rx.nn.sequential(rx.nn.dense(2, 16), rx.nn.tanh, rx.nn.dense(16, 2))


def loss(params, x, y):
    return rx.nn.softmax_cross_entropy(model.apply(params, x), y)


def loss_of_one(params, x, y):
    return loss(params, x[None], y[None])


optimizer = rx.optim.adam(0.02)


@rx.jit
def train(params, x, y):
    def step(carry, _):
        params, state = carry
        value, grads = rx.value_and_grad(loss)(params, x, y)
        return optimizer.update(grads, state, params), value

    carry = params, optimizer.init(params)
    (params, _), losses = rx.scan(step, carry, None, 400)
    return params, losses


params, losses = train(model.init(rx.random.key(0)), points, labels)
print(f"loss {float(losses[0]):.3f} -> {float(losses[-1]):.3f} in {len(losses)} steps")

# %% [markdown]
# All 400 training steps were one call: a `scan` inside of `jit`, with `grad` inside of
# the `scan`. Now the gradients, and their lengths.


# %%
@rx.jit
def gradients(params, x, y):
    return rx.vmap(rx.grad(loss_of_one), in_axes=(None, 0, 0))(params, x, y)


gradient = rx.jit(rx.grad(loss_of_one))


def one_by_one(params, x, y):
    return [gradient(params, x[k], y[k]) for k in range(len(x))]


each = gradients(params, points, labels)
squares = [(g.reshape(COUNT, -1) ** 2).sum(1) for g in rx.tree.leaves(each)]
length = np.sqrt(np.sum([np.asarray(s) for s in squares], 0))

mean = rx.grad(loss)(params, points, labels)
pairs = zip(rx.tree.leaves(each), rx.tree.leaves(mean), strict=True)
error = max(float(abs(a.mean(0) - b).max()) for a, b in pairs)
print(f"their mean is the gradient of the mean loss, up to {error:.1e}")
fast, slow = (
    seconds(f, params, points, labels, runs=5) for f in (gradients, one_by_one)
)
print(f"one call {1e3 * fast:.2f} ms, a loop over examples {1e3 * slow:.1f} ms")

suspects = np.argsort(-length)[:FLIPPED]
found = len(np.intersect1d(suspects, flipped))
print(f"of the {FLIPPED} longest gradients, {found} belong to flipped labels")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4))
side = rnp.linspace(-1.8, 2.8, 121), rnp.linspace(-1.3, 1.8, 101)


def score(a, b):
    logits = model.apply(params, rnp.stack([a, b])[None])[0]
    return logits[1] - logits[0]


over_grid = rx.vmap(rx.vmap(score, in_axes=(0, None)), in_axes=(None, 0))
left.contourf(
    *side, over_grid(*side), levels=[-1e9, 0, 1e9], colors=[BLUE, RED], alpha=0.1
)
for k, color in ((0, BLUE), (1, RED)):
    rows = labels == k
    left.scatter(*points[rows].T, s=4 + 6 * length[rows], color=color, linewidths=0)
left.set(xticks=[], yticks=[])
left.set_title("Size: length of the example's gradient")
bins = np.geomspace(length.min(), length.max(), 30)
right.set(xscale="log", xlabel="length of the gradient", ylabel="examples")
for lengths, color, label in (
    (np.delete(length, flipped), GREY, "right labels"),
    (length[flipped], OCHRE, "flipped labels"),
):
    right.hist(lengths, bins, color=color, label=label)
    right.legend()

# %% [markdown]
# The picture's background is `vmap(vmap(score))`: a function of two numbers, mapped
# over a grid.
#
# ## Products with the Hessian
#
# For a function of $n$ numbers the Hessian has $n^2$ entries, but its product with a
# direction costs about as much as two gradients: `rx.hvp` is forward mode over reverse
# mode. That is all that Newton's method needs if it solves its equations by conjugate
# gradients. Below both loops are inside one compiled function: `scan` over steps of
# Newton, `fori_loop` over those of conjugate gradients.


# %%
def rosenbrock(p):
    return ((1 - p[:-1]) ** 2 + 100 * (p[1:] - p[:-1] ** 2) ** 2).sum()


def solve(product, b, steps):
    """Conjugate gradients, which stop where the curvature is not positive."""

    def step(_, state):
        x, r, d = state
        turned = product(d)
        curvature = d @ turned
        rr = r @ r
        go = (curvature > 0) & (rr > 1e-12)
        a = rnp.where(go, rr / rnp.where(go, curvature, 1.0), 0.0)
        after = r - a * turned
        back = rnp.where(go, after @ after / rnp.where(go, rr, 1.0), 0.0)
        return x + a * d, after, after + back * d

    start = rnp.zeros_like(b), b, b
    x = rx.fori_loop(0, steps, step, start)[0]
    return rnp.where(x @ x > 0, x, b)


def newton(f, p, steps):
    def step(p, _):
        g = rx.grad(f)(p)
        way = solve(lambda d: rx.hvp(f, (p,), (d,)), -g, len(p))
        # The best of a few lengths: one vmap.
        lengths = 0.5 ** rnp.arange(8.0)
        values = rx.vmap(lambda t: f(p + t * way))(lengths)
        p = p + lengths[rnp.argmin(values)] * way
        return p, p

    return rx.scan(step, p, None, steps)[1]


def descent(f, p, steps, rate):
    def step(p, _):
        p = p - rate * rx.grad(f)(p)
        return p, p

    return rx.scan(step, p, None, steps)[1]


begin = rnp.asarray([-1.4, 1.6])
by_newton = rx.jit(lambda p: newton(rosenbrock, p, 24))(begin)
by_gradient = rx.jit(lambda p: descent(rosenbrock, p, 4000, 1e-3))(begin)

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4))
a, b = rnp.linspace(-1.8, 1.6, 160), rnp.linspace(-0.6, 2.4, 140)
height = rx.vmap(
    rx.vmap(lambda a, b: rosenbrock(rnp.stack([a, b])), in_axes=(0, None)),
    in_axes=(None, 0),
)(a, b)
left.contourf(a, b, np.log10(np.asarray(height) + 1e-3), 18, cmap="Greys", alpha=0.55)
left.plot(1, 1, "*", color=OCHRE, markersize=10, zorder=3)
left.set_title("Rosenbrock's valley; the star is its lowest point")
right.set(xlabel="step", ylabel="height above the lowest point")
for path, color, mark, label in (
    (by_gradient, BLUE, "", "gradient descent, 4000 steps"),
    (by_newton, RED, "o", "Newton, 24 steps"),
):
    walked = np.vstack([begin, path])
    left.plot(*walked.T, color=color, marker=mark, markersize=3, linewidth=1)
    heights = np.asarray(rx.vmap(rosenbrock)(rnp.asarray(walked)))
    right.loglog(
        np.arange(1, len(walked) + 1), heights + 1e-16, color=color, label=label
    )
    right.legend()

# %% [markdown]
# In 1,000 dimensions the Hessian would have a million entries. The product agrees with
# the whole matrix where that can still be formed.

# %%
p = rx.random.normal(rx.random.key(1), (1000,))
d = rx.random.normal(rx.random.key(2), (1000,))
by_product = rx.jit(lambda p, d: rx.hvp(rosenbrock, (p,), (d,)))
by_matrix = rx.jit(lambda p, d: rx.hessian(rosenbrock)(p) @ d)
difference = abs(by_product(p, d) - by_matrix(p, d)).max() / abs(by_matrix(p, d)).max()
print(f"relative difference {float(difference):.1e}")
print(f"product          {1e6 * seconds(by_product, p, d):8.0f} us")
print(f"whole Hessian    {1e6 * seconds(by_matrix, p, d, runs=5):8.0f} us")

# %% [markdown]
# ## A derivative of your own
#
# Kepler's equation $E - e \sin E = M$ gives the position of a planet, and has no closed
# form: Newton's method finds $E$ in a loop that ends when it has converged. A
# derivative through the steps of a root finder is wasteful, and a `while_loop` of
# unknown length has no reverse mode. The implicit function theorem gives the derivative
# from the root alone:
#
# $$\frac{\partial E}{\partial M} = \frac{1}{1 - e \cos E}, \qquad
# \frac{\partial E}{\partial e} = \frac{\sin E}{1 - e \cos E}.$$
#
# `custom_jvp` attaches it; `grad` works too, as reverse mode is the transpose of
# forward mode.


# %%
@rx.custom_jvp
def kepler(m, e):
    def going(state):
        _, change, count = state
        return (abs(change) > 1e-6) & (count < 50)

    def step(state):
        big, _, count = state
        change = (big - e * rnp.sin(big) - m) / (1 - e * rnp.cos(big))
        return big - change, change, count + 1

    start = m + 0.85 * e * rnp.sign(rnp.sin(m)), rnp.ones_like(m), 0
    return rx.while_loop(going, step, start)[0]


@kepler.defjvp
def _(primals, tangents):
    (m, e), (dm, de) = primals, tangents
    big = kepler(m, e)
    return big, (dm + rnp.sin(big) * de) / (1 - e * rnp.cos(big))


many = rx.vmap(kepler, in_axes=(0, None))
pace = rx.vmap(rx.grad(kepler), in_axes=(0, None))
m = rnp.linspace(0.05, 2 * np.pi - 0.05, 200)
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3))
left.set(xlabel="M, the time", ylabel="E, the angle")
right.set(xlabel="M, the time", ylabel="dE / dM")
for e, color in ((0.1, BLUE), (0.5, GREEN), (0.9, RED)):
    big = many(m, e)
    left.plot(m, big, color=color, label=f"e = {e}")
    left.legend()
    right.plot(m, pace(m, e), color=color)
    off = float(abs(big - e * rnp.sin(big) - m).max())
    # Differences in float64, the reference.
    wide, h = np.asarray(m, np.float64)[::20], 1e-6
    high, low = (many(rnp.asarray(wide + k, dtype=rnp.float64), e) for k in (h, -h))
    numeric = (np.asarray(high) - np.asarray(low)) / (2 * h)
    worst = np.abs(np.asarray(pace(m, e))[::20] / numeric - 1).max()
    print(f"e = {e}: residual {off:.0e}, derivative against differences {worst:.0e}")

# %% [markdown]
# As it composes, an orbit can be fitted: given angles at some times, find the
# eccentricity by Newton's method on a least-squares loss, with first and second
# derivatives through the root finder.

# %%
times = rnp.linspace(0.3, 6.0, 25)
observed = many(times, 0.62) + 0.01 * rx.random.normal(rx.random.key(5), (25,))


def misfit(e):
    return ((many(times, e) - observed) ** 2).sum()


def fit(e, _):
    g, curvature = rx.grad(misfit)(e), rx.grad(rx.grad(misfit))(e)
    e = rnp.clip(e - g / abs(curvature), 0.0, 0.95)
    return e, e


_, guesses = rx.jit(lambda e: rx.scan(fit, e, None, 8))(rnp.asarray(0.2))
print("eccentricity:", " ".join(f"{float(e):.4f}" for e in guesses), "(true 0.62)")

# %% [markdown]
# ## A loop over time that is one kernel
#
# A `scan` whose body is elementwise over its carry becomes one kernel, loop included:
# each worker keeps its neurons' state in cache while time goes by. Here are leaky
# integrate-and-fire neurons, written in plain Python, with a smooth stand-in for the
# derivative of a spike. The gradient, too, is a loop inside a kernel.


# %%
@rx.custom_jvp
def fire(u):
    return (u > 0).astype(u.dtype)


@fire.defjvp
def _(primals, tangents):
    (u,), (du,) = primals, tangents
    return fire(u), du / (1 + (np.pi * u) ** 2)


def neuron(beta, v, x):
    v = beta * v + x
    spike = fire(v - 1)
    return v - spike, spike


def layer(beta, xs):
    body = lambda v, x: neuron(beta, v, x)  # noqa: E731
    return rx.scan(body, rnp.zeros(xs.shape[1:]), xs)[1]


def by_numpy(beta, xs):
    v, out = np.zeros(xs.shape[1:], np.float32), []
    for x in xs:
        v = beta * v + x
        spike = (v > 1).astype(np.float32)
        v = v - spike
        out.append(spike)
    return np.stack(out)


beta = rnp.asarray(np.linspace(0.8, 0.98, 1024, dtype=np.float32))
xs = 0.2 + 0.3 * rx.random.normal(rx.random.key(0), (100, 64, 1024))
forward = rx.jit(layer)
backward = rx.jit(rx.grad(lambda beta, xs: layer(beta, xs).mean()))
print("launches:", rx.inspect(layer)(beta, xs).launches, "forward,", end=" ")
print(backward.inspect(beta, xs).launches, "with the gradient")
host = np.asarray(beta), np.asarray(xs)
assert (np.asarray(forward(beta, xs)) == by_numpy(*host)).mean() > 0.999
for name, spent in (
    ("forward", seconds(forward, beta, xs, runs=5)),
    ("gradient", seconds(backward, beta, xs, runs=5)),
    ("NumPy, forward", seconds(by_numpy, *host, runs=3)),
):
    print(f"{name:<16}{1e3 * spent:8.1f} ms")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3))
spikes = np.asarray(forward(beta, xs))
when, which = np.nonzero(spikes[:, 0, ::16])
left.scatter(when, which * 16, s=4, marker="|", color=BLUE)
left.set(xlabel="step", ylabel="neuron")
left.set_title("Spikes of one example")
right.plot(beta, spikes.mean((0, 1)), color=BLUE, label="spikes per step")
right.plot(beta, backward(beta, xs) * 1024, color=RED, label="its gradient in beta")
right.set(xlabel="beta, the decay of the neuron", ylim=(0, 0.5))
right.legend()
steep = np.polyfit(beta, spikes.mean((0, 1)), 1)[0]
told = float(backward(beta, xs).mean()) * 1024
print(f"the rate rises by {steep:.2f} per unit of beta; the gradient says {told:.2f}")

# %% [markdown]
# ## Where a call runs, and why
#
# A cost model predicts each call on each device. `rx.explain` shows its terms. Cards
# that are not here can be asked about by their shipped profiles: nothing is run, and
# types will do in place of arrays. The left figure takes the data to be in the memory
# of each device; in the right one it is on the CPU, and the way to a card counts.

# %%
rx.explain(layer, devices=["cpu", "rx580"])(beta, xs)

# %%
CARDS = {"cpu": INK, "rx580": RED, "vega64": OCHRE, "rx5700xt": BLUE}
widths = [2**k for k in range(4, 15)]
predicted = {name: [] for name in CARDS}
for width in widths:
    kinds = [rx.ShapeDtypeStruct(s, rnp.float32) for s in ((width,), (100, 64, width))]
    for name, places in predicted.items():
        told = rx.explain(layer, devices=[name], resident=name)(*kinds)
        places.append(told.estimates[0].predicted)
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3))
for name, spent in predicted.items():
    left.loglog(widths, np.asarray(spent) * 1e3, color=CARDS[name], label=name)
left.set(xlabel="neurons", ylabel="predicted ms", title="Data where it is used")
left.legend()
told = rx.explain(layer, devices=list(CARDS), resident="cpu")(beta, xs)
bottom = np.zeros(len(CARDS))
for part, color in (
    ("transfers", GREY),
    ("launch", OCHRE),
    ("memory", BLUE),
    ("arithmetic", RED),
    ("serial", GREEN),
):
    share = np.asarray([getattr(e, part) for e in told.estimates]) * 1e3
    right.bar(list(CARDS), share, bottom=bottom, color=color, label=part)
    bottom += share
right.set(ylabel="ms, the parts of the prediction")
right.set_title(f"1,024 neurons, data on the CPU: the choice is {told.choice}")
right.legend()
print(told.reason)
