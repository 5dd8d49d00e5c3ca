# %% [markdown]
# # Spiking networks
#
# A leaky integrate-and-fire neuron adds up what comes in, forgets it at a constant
# rate, and fires when it has enough. This notebook looks at one such neuron, then at
# the tricks that make networks of them learn: surrogate gradients, codes, and
# plasticity.
#
# Everything is a pure function. `rx.lif_scan` takes parameters, a state and inputs over
# time, and returns the state and what was asked for; the loop over time lies inside one
# compiled kernel.

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import rxcore as rx
import rxcore.numpy as rnp
from rxcore import snn

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
# ## What a spike does to the potential
#
# "LIF" is a family. Packages differ in whether a spike subtracts the threshold or sends
# the potential to zero, and in whether it does so at once or one step late. Below is
# one neuron with a constant current under each choice. A dot is a spike; the dashed
# line is the threshold.

# %%
STEPS = 40
current = rnp.full((STEPS, 1), 0.4)
cell = {"beta": 0.8, "threshold": 1.0}

figure, grid = plt.subplots(
    2, 3, figsize=(10, 4.4), sharex=True, sharey=True, squeeze=False
)
for row, delay in zip(grid, (False, True), strict=True):
    for axes, reset in zip(row, ("subtract", "zero", "none"), strict=True):
        _, (spikes, potential) = snn.lif_scan(
            cell, None, current, reset=reset, reset_delay=delay, output="both"
        )
        v, fired = np.asarray(potential)[:, 0], np.flatnonzero(spikes[:, 0])
        axes.plot(v, color=BLUE, linewidth=1.2)
        axes.plot(fired, np.full(len(fired), 2.2), ".", color=RED)
        axes.axhline(1, color=GREY, linestyle="--", linewidth=0.8)
        when = "one step late" if delay else "at once"
        axes.set_title(f"{reset}, {when}: {len(fired)} spikes")
for axes in grid[-1]:
    axes.set_xlabel("step")
for axes in grid[:, 0]:
    axes.set(ylabel="potential", ylim=(0, 2.35))

# %% [markdown]
# Without delay the trace shows the potential after the reset, so it stays below the
# threshold. With delay it shows the potential that fired, and the reset is seen one
# step later. With `reset="none"` the neuron is a leaky readout that happens to have a
# threshold.
#
# A `convention` names a whole row of such choices, as a package makes them. Choices
# that are given explicitly win, so here all of them get the same gain, and what is left
# is the way of integrating, comparing and resetting.

# %%
names = tuple(snn.CONVENTIONS)
t = rnp.arange(120)
wave = 0.17 + 0.1 * rnp.sin(2 * rnp.pi * t / 60)
figure, axes = plt.subplots(figsize=(10, 2.2))
for k, name in enumerate(names):
    _, spikes = snn.lif_scan(
        {"tau": 8.0}, None, wave[:, None], convention=name, gain="unit"
    )
    fired = np.flatnonzero(spikes[:, 0])
    axes.eventplot(fired, lineoffsets=k, linelengths=0.7, color=BLUE)
    axes.text(122, k, f"{len(fired)} spikes", va="center")
axes.set(yticks=range(len(names)), yticklabels=names, xlabel="step", xlim=(0, 120))
axes.set_title("The same current and time constant, by the rules of six packages")
axes.invert_yaxis()

# %% [markdown]
# ## Firing rate against current, and the closed form
#
# For a constant current $I$ (in thresholds), a time constant $\tau$ and a refractory
# time $t_r$ the neuron of continuous time fires at
#
# $$f(I) = \left[t_r + \tau \ln\frac{I}{I - 1}\right]^{-1}, \quad I > 1.$$
#
# A simulation rounds each interval up to whole steps. With `refractory="substep"` the
# time within the step at which the threshold was crossed counts, and the steps of 1 ms
# give the rate of continuous time. All currents are neurons of one call.

# %%
TAU, REFRACTORY, DURATION = 20.0, 2.0, 4000.0  # ms
levels = np.linspace(0.8, 4.0, 65, dtype=np.float32)
above = levels > 1
exact = np.zeros_like(levels)
exact[above] = 1000 / (REFRACTORY + TAU * np.log(levels[above] / (levels[above] - 1)))


def rates(dt, refractory):
    steps = round(DURATION / dt)
    xs = rnp.broadcast_to(rnp.asarray(levels), (steps, len(levels)))
    _, spikes = snn.lif_scan(
        {"tau": TAU},
        None,
        xs,
        dt=dt,
        gain="1-decay",
        reset="zero",
        t_ref=REFRACTORY,
        refractory=refractory,
    )
    return np.asarray(snn.decode.count(spikes)) / DURATION * 1000


runs = {
    "dt 1 ms, whole steps": (rates(1.0, "hold"), RED, "s"),
    "dt 0.1 ms, whole steps": (rates(0.1, "hold"), OCHRE, "^"),
    "dt 1 ms, time within steps": (rates(1.0, "substep"), GREEN, "o"),
}
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2))
left.plot(levels, exact, color=INK, label="closed form")
for label, (found, color, marker) in runs.items():
    left.plot(levels[::4], found[::4], marker, color=color, label=label, markersize=4)
    right.plot(levels, found - exact, color=color, label=label)
left.set(xlabel="current / threshold", ylabel="spikes per second")
right.set(xlabel="current / threshold", ylabel="difference to the closed form, 1/s")
left.set_title("Firing rate")
right.set_title("What discrete time costs")
left.legend()
for label, (found, *_) in runs.items():
    worst = np.abs(found - exact).max()
    print(f"{label:<28} largest difference {worst:6.2f} spikes per second")
print(f"one spike in {DURATION / 1000:.0f} s is {1000 / DURATION:.2f} per second")

# %% [markdown]
# ## Surrogate gradients
#
# A spike is a step function: its derivative is zero, and nothing would be learnt. In
# the backward pass a bump takes its place. The functions of `snn.surrogate` are called
# by the formula of their bump, as packages give the same name to different ones. The
# curves are what `rx.grad` returns.

# %%
shapes = {
    "lorentz(2)": snn.surrogate.lorentz(2.0),
    "rational2(2)": snn.surrogate.rational2(2.0),
    "rational1(2)": snn.surrogate.rational1(2.0),
    "logistic(4)": snn.surrogate.logistic(4.0),
    "tent(1)": snn.surrogate.tent(1.0),
    "laplace(2)": snn.surrogate.laplace(2.0),
    "gaussian(2)": snn.surrogate.gaussian(2.0),
    "sech2(1.5)": snn.surrogate.sech2(1.5),
    "circle(1)": snn.surrogate.circle(1.0),
    "boxcar(2, 0.5)": snn.surrogate.boxcar(2.0, 0.5),
}
u = rnp.linspace(-2.0, 2.0, 401)
figure, grid = plt.subplots(2, 5, figsize=(10, 3.4), sharex=True, sharey=True)
figure.supxlabel("potential minus threshold", fontsize=9)
for axes in grid[:, 0]:
    axes.set_ylabel("spike, derivative")
for axes, (name, spike) in zip(grid.flat, shapes.items(), strict=True):
    axes.plot(u, spike(u), color=GREY, linewidth=1)
    bump = np.asarray(rx.vmap(rx.grad(spike))(u))
    axes.fill_between(np.asarray(u), bump, color=BLUE, alpha=0.25, linewidth=0)
    axes.plot(u, bump, color=BLUE)
    axes.set_title(name)

# %% [markdown]
# The width of the bump decides how near the potential must come to the threshold for an
# input to matter; how long before, the neuron's decay decides. Here is the gradient of
# the number of spikes with respect to the current of each step, for bumps of area 1.

# %%
noise = rx.random.normal(rx.random.key(3), (80, 1))
xs = 0.16 + 0.12 * noise


def number(xs, spike):
    return snn.lif_scan({"beta": 0.9}, None, xs, surrogate=spike)[1].sum()


_, (spikes, potential) = snn.lif_scan({"beta": 0.9}, None, xs, output="both")
figure, (top, bottom) = plt.subplots(2, 1, figsize=(10, 3.8), sharex=True)
top.plot(potential[:, 0], color=INK, linewidth=1)
top.axhline(1, color=GREY, linestyle="--", linewidth=0.8)
fired = np.flatnonzero(spikes[:, 0])
top.plot(fired, np.ones(len(fired)), ".", color=RED)
top.set(ylabel="potential")
bottom.set(xlabel="step", ylabel="d spikes / d current")
for steep, color in ((1.0, BLUE), (4.0, GREEN), (16.0, OCHRE)):
    bump = snn.surrogate.gaussian(steep, normalize="area")
    slope = rx.grad(number)(xs, bump)
    bottom.plot(slope[:, 0], color=color, label=f"gaussian({steep:g})")
    bottom.legend(ncols=3, loc="upper right")

# %% [markdown]
# ## A neuron of your own
#
# `snn.neuron_scan` takes one step of a neuron, as a plain function, and makes the same
# kind of kernel of it, forward and backward. Here is a neuron whose threshold rises
# with each spike, beside two of Izhikevich's, which are ten lines over the same
# function.

# %%
fire = snn.surrogate.lorentz(2.0)


def tiring(p, state, x):
    v, extra = state
    v = p["beta"] * v + x
    spike = fire(v - 1.0 - extra)
    extra = p["recovery"] * extra + p["effort"] * spike
    return (v - spike * (1.0 + extra), extra), (spike, v, 1.0 + extra)


own = {"beta": 0.95, "recovery": 0.98, "effort": 0.25}
start = (rnp.zeros(1), rnp.zeros(1))
pulse = rnp.where((rnp.arange(300) > 20) & (rnp.arange(300) < 250), 0.2, 0.0)[:, None]


@rx.jit
def tired(own, pulse):
    return snn.neuron_scan(tiring, own, start, pulse)[1]


spikes, potential, threshold = tired(own, pulse)
launched = tired.inspect(own, pulse).launches
learn = rx.jit(rx.grad(lambda own: tired(own, pulse)[0].sum()))
slopes = ", ".join(f"{name} {float(g):.3g}" for name, g in learn(own).items())
print(f"kernels launched: {launched}; d spikes / d parameters: {slopes}")

figure, (a, b, c) = plt.subplots(1, 3, figsize=(10, 2.6))
a.plot(potential[:, 0], color=BLUE, linewidth=1, label="potential")
a.plot(threshold[:, 0], color=RED, linewidth=1, label="threshold")
a.set_title(f"tiring: {int(spikes.sum())} spikes")
a.set_ylim(top=2.9)
a.legend(loc="upper right", ncols=2)
for axes, title, kind in (
    (b, "regular", {"c": -65.0, "d": 8.0}),
    (c, "chattering", {"c": -50.0, "d": 2.0}),
):
    _, trace = snn.izhikevich_scan(kind, None, 50 * pulse, output="trace")
    axes.plot(trace[:, 0], color=BLUE, linewidth=1)
    axes.set_title(f"Izhikevich, {title}")
for axes in (a, b, c):
    axes.set_xlabel("step")

# %% [markdown]
# ## Numbers into spikes
#
# `snn.encode` has three codes: by rate (Poisson), by latency (the larger, the earlier),
# and by change (delta, for signals that vary over time). Each is shown for the pixels
# of one handwritten digit; for delta the digit fades in and out.

# %%
pixels, labels = load_digits(return_X_y=True)
image = rnp.asarray((pixels[17] / 16).astype(np.float32))
fade = rnp.sin(rnp.linspace(0.0, np.pi, 30))[:, None] * image
codes = {
    "poisson": snn.encode.poisson(rx.random.key(0), image * 0.5, 30),
    "latency": snn.encode.latency(image, 30),
    "delta": snn.encode.delta(fade, threshold=0.05, off=True),
}
figure, grid = plt.subplots(
    1, 4, figsize=(10, 2.8), gridspec_kw={"width_ratios": (1, 1.4, 1.4, 1.4)}
)
grid[0].imshow(image.reshape(8, 8), cmap="gray_r")
grid[0].set(xticks=[], yticks=[])
grid[0].set_title(f"a {labels[17]}")
grid[1].set_ylabel("pixel")
for axes, (name, spikes) in zip(grid[1:], codes.items(), strict=True):
    for sign, color in ((1, BLUE), (-1, RED)):
        when, which = np.nonzero(np.asarray(spikes) == sign)
        axes.scatter(when, which, s=8, marker="|", color=color, linewidths=1)
    total = int(np.abs(np.asarray(spikes)).sum())
    axes.set(xlabel="step", xlim=(-1, 30), ylim=(64, -1))
    axes.set_title(f"{name}: {total} spikes")

# %% [markdown]
# ## A spiking network learns to read
#
# 64 pixels drive 128 spiking neurons with constant currents for 25 steps; ten neurons
# that do not spike read them, and the mean of their potentials are the logits. Each
# hidden neuron learns its decay and its threshold along with the weights. A fifth of
# the images is held out.

# %%
SIMULATED, HIDDEN, BATCH, EPOCHS = 25, 128, 64, 40

train_x, test_x, train_y, test_y = train_test_split(
    (pixels / 16).astype(np.float32),
    labels.astype(np.int32),
    test_size=0.2,
    stratify=labels,
    random_state=0,
)


def init(key):
    first, last = rx.random.split(key)
    return {
        "w1": rx.random.normal(first, (64, HIDDEN)) * (2 / 64) ** 0.5,
        "b1": rnp.zeros(HIDDEN),
        "w2": rx.random.normal(last, (HIDDEN, 10)) * (1 / HIDDEN) ** 0.5,
        "b2": rnp.zeros(10),
        "slope": rnp.full((HIDDEN,), np.log(9.0)),
        "threshold": rnp.ones(HIDDEN),
    }


def hidden(params, x):
    drive = x @ params["w1"] + params["b1"]
    xs = rnp.broadcast_to(drive, (SIMULATED, *drive.shape))
    cells = {"beta": rx.logistic(params["slope"]), "threshold": params["threshold"]}
    return snn.lif_scan(cells, None, xs, surrogate=snn.surrogate.lorentz(2.0))[1]


def readout(params, spikes):
    currents = spikes @ params["w2"] + params["b2"]
    cells = {"beta": 0.9}
    return snn.lif_scan(cells, None, currents, reset="none", output="trace")[1]


def loss(params, x, y):
    logits = readout(params, hidden(params, x)).mean(0)
    return rx.nn.softmax_cross_entropy(logits, y)


rate = rx.optim.cosine(5e-3, EPOCHS * (len(train_x) // BATCH))
optimizer = rx.optim.adamw(rate, weight_decay=1e-4)


@rx.jit
def epoch(params, state, x, y, order):
    def step(carry, rows):
        params, state = carry
        value, grads = rx.value_and_grad(loss)(params, x[rows], y[rows])
        return optimizer.update(grads, state, params), value

    (params, state), losses = rx.scan(step, (params, state), order)
    return params, state, losses.mean()


@rx.jit
def predict(params, x):
    spikes = hidden(params, x)
    return spikes, readout(params, spikes)


# %% [markdown]
# A whole epoch, batches included, is one call of a compiled function.

# %%
params = init(rx.random.key(0))
state = optimizer.init(params)
shuffle = np.random.default_rng(0)
losses, accuracies = [], []
started = time.perf_counter()
for _ in range(EPOCHS):
    order = shuffle.permutation(len(train_x))[: len(train_x) // BATCH * BATCH]
    order = order.reshape(-1, BATCH).astype(np.int32)
    params, state, value = epoch(params, state, train_x, train_y, order)
    losses.append(float(value))
    traces = np.asarray(predict(params, test_x)[1])
    accuracies.append((traces.mean(0).argmax(1) == test_y).mean())
seconds = time.perf_counter() - started

spikes, traces = (np.asarray(part) for part in predict(params, test_x))
launches = rx.inspect(hidden)(params, test_x).launches
seen = traces.cumsum(0).argmax(2) == test_y
print(f"held-out accuracy {accuracies[-1]:.2%}, {seconds:.1f} s, compilation included")
print(f"a hidden neuron fires in {spikes.mean():.1%} of its steps")
print(f"kernels that the hidden layer launches: {launches}")

# %%
pick = int(np.flatnonzero(seen[-1])[0])
figure, ((a, b), (c, d)) = plt.subplots(2, 2, figsize=(10, 5.6))
a.semilogy(losses, color=BLUE, label="training loss")
a.semilogy(1 - np.asarray(accuracies), color=RED, label="held-out error")
a.set(xlabel="epoch")
a.legend()
a.set_title("Learning")
b.plot(np.arange(1, SIMULATED + 1), seen.mean(1), color=GREEN)
b.set(xlabel="steps seen", ylabel="held-out accuracy", ylim=(0.7, 1.01))
b.set_title("An answer at any time")
when, which = np.nonzero(spikes[:, pick])
c.scatter(when, which, s=4, marker="|", color=BLUE)
c.set(xlabel="step", ylabel="hidden neuron")
c.set_title(f"Spikes for a {test_y[pick]}")
d.set(xlabel="step", ylabel="potential")
d.set_title("The ten output neurons")
for k in range(10):
    is_it = k == test_y[pick]
    d.plot(traces[:, pick, k], color=RED if is_it else GREY, zorder=2 + is_it)
    d.text(SIMULATED - 0.7, traces[-1, pick, k], str(k), va="center", fontsize=7)

# %% [markdown]
# ## Plasticity by the timing of spikes
#
# Without gradients, a synapse can learn from its own two neurons: it grows if the
# sender fires shortly before the receiver, and shrinks if it fires shortly after.
# `snn.stdp` is one step of that rule, `(w, traces, pre, post) -> (w, traces)`, and
# `rx.scan` runs it. Each sender below fires once, at its own time, around the one spike
# of the receiver.

# %%
MIDDLE = 60
delays = np.arange(-MIDDLE, MIDDLE + 1)
ticks = np.arange(2 * MIDDLE + 1)
pre = rnp.asarray((ticks[:, None] == MIDDLE - delays).astype(np.float32))
post = rnp.asarray((ticks[:, None] == MIDDLE).astype(np.float32))
rule = {"tau_pre": 15.0, "tau_post": 25.0, "a_plus": 0.012, "a_minus": 0.008}


@rx.jit
def plastic(w, pre, post):
    def step(carry, now):
        return snn.stdp(*carry, *now, order="weights_first", **rule), None

    zeros = snn.STDPTraces(rnp.zeros(w.shape[0]), rnp.zeros(w.shape[1]))
    return rx.scan(step, (w, zeros), (pre, post))[0][0]


before = rnp.full((len(delays), 1), 0.5)
change = np.asarray(plastic(before, pre, post) - before)[:, 0]
law = np.where(
    delays > 0,
    rule["a_plus"] * np.exp(-delays / rule["tau_pre"]),
    -rule["a_minus"] * np.exp(delays / rule["tau_post"]),
)
law[delays == 0] = 0
figure, axes = plt.subplots(figsize=(10, 2.8))
axes.axhline(0, color=GREY, linewidth=0.8)
axes.axvline(0, color=GREY, linewidth=0.8)
axes.plot(delays, change, ".", color=BLUE, label="simulated")
axes.plot(delays[delays < 0], law[delays < 0], color=RED, linewidth=1)
axes.plot(delays[delays > 0], law[delays > 0], color=RED, linewidth=1, label="formula")
axes.set(xlabel="time of post minus time of pre, ms", ylabel="change of the weight")
axes.legend()
print(f"largest difference to the formula: {np.abs(change - law).max():.1e}")
