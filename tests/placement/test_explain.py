"""rx.explain: a table of terms that adds up, for targets here and elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import rxcore as rx
import rxcore.numpy as rnp
from rxcore.runtime.cost import SHIPPED

CARDS = tuple(n for n in SHIPPED if n not in ("cpu", "pocl"))


def chain(x: Any) -> Any:
    return rnp.exp(x * 0.5) + x


def product(x: Any) -> Any:
    return rnp.tanh(x @ x)


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("function", [chain, product])
def test_terms_bound_the_prediction(card: str, function: Any) -> None:
    found = rx.explain(function, devices=["cpu", card])(rnp.ones((256, 256)))
    assert [e.device for e in found.estimates] == ["cpu", card]
    for e in found.estimates:
        terms = (e.launch, e.memory, e.arithmetic, e.serial, e.transfers)
        assert all(t >= 0 for t in terms)
        assert 0 < e.predicted <= sum(terms) * 1.001
        assert e.spread >= 1
    assert found.estimates[1].simulated
    assert found.estimates[1].transfers > 0
    assert found.choice in ("cpu", card)
    assert found.choice in found.reason


def test_large_products_go_to_a_card_and_streams_stay() -> None:
    side = rx.ShapeDtypeStruct((4096, 4096), rnp.float32)
    assert rx.explain(product, devices=["cpu", "rx580"])(side).choice == "rx580"
    flat = rx.ShapeDtypeStruct((1 << 24,), rnp.float32)
    assert rx.explain(chain, devices=["cpu", "rx580"])(flat).choice == "cpu"


def test_arrays_on_a_device_need_no_way_there() -> None:
    x = rx.device_put(rnp.ones(1 << 20), "opencl")
    found = rx.explain(chain, devices=["cpu", "rx580"])(x)
    cpu, card = found.estimates
    assert cpu.transfers > 0
    assert card.transfers == 0


def test_a_card_without_doubles_is_refused(tmp_path: Path) -> None:
    source = Path(rx.__file__).parent / "runtime/cost/profiles/rx580.json"
    profile = json.loads(source.read_text())
    profile["facts"]["fp64"] = False
    file = tmp_path / "small.json"
    file.write_text(json.dumps(profile))
    found = rx.explain(chain, devices=["cpu", str(file)])(rnp.ones(8, rnp.float64))
    assert found.choice == "cpu"
    assert "float64" in found.estimates[1].refused
    assert "not possible" in str(found)


def test_too_large_is_refused() -> None:
    huge = rx.ShapeDtypeStruct((1 << 31,), rnp.float32)
    found = rx.explain(lambda x: x.sum(), devices=["cpu", "rx580"])(huge)
    assert found.choice == "cpu"
    assert found.estimates[1].refused


def test_it_prints_everywhere() -> None:
    found = rx.explain(chain, devices=["cpu", "rx580"])(rnp.ones(100))
    text, page = str(found), found._repr_html_()
    for word in ("launch", "memory", "transfers", "rx580", found.reason):
        assert word in text
    assert "<table>" in page
    assert json.loads(json.dumps(found.as_dict()))["choice"] == found.choice


def test_the_users_wish_is_the_reason() -> None:
    f = rx.jit(chain, device="opencl")
    found = rx.explain(f)(rnp.ones(100))
    assert found.choice == "opencl"
    assert "device" in found.reason


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"schema": 1, "device": 3}', ("field", "expected", "found")),
        ("[1, 2", ("profile", "expected")),
        ("{}", ("schema",)),
    ],
)
def test_malformed_profiles_say_where(
    tmp_path: Path, content: str, words: tuple[str, ...]
) -> None:
    file = tmp_path / "card.json"
    file.write_text(content)
    with pytest.raises(rx.DeviceError) as caught:
        rx.explain(chain, devices=[str(file)])
    assert all(w in str(caught.value) for w in (*words, "card.json"))


def test_unknown_names_list_what_there_is() -> None:
    with pytest.raises(rx.DeviceError, match=r"there are 'cpu', 'opencl'.*'rx580'"):
        rx.explain(chain, devices=["rx999"])


def test_one_name_and_none() -> None:
    found = rx.explain(chain, devices="rx580")(rnp.ones(3))
    assert [e.device for e in found.estimates] == ["rx580"]
    with pytest.raises(rx.UserError, match="expected the names of devices, got none"):
        rx.explain(chain, devices=[])


def test_inside_a_transform_it_says_so() -> None:
    explained = rx.explain(chain, devices=["cpu"])
    with pytest.raises(rx.TraceError, match="concrete"):
        rx.jit(lambda x: (explained(x), x)[1])(rnp.ones(3))


def test_where_arguments_are_taken_to_be() -> None:
    x = rx.ShapeDtypeStruct((1 << 20,), rnp.float32)
    names = ["cpu", "rx580"]
    here = rx.explain(chain, devices=names, resident="cpu")(x)
    there = rx.explain(chain, devices=names, resident="rx580")(x)
    assert [e.transfers for e in here.estimates] == [
        e.transfers for e in rx.explain(chain, devices=names)(x).estimates
    ]
    cpu, card = there.estimates
    assert card.transfers == 0
    assert cpu.transfers > 4 * x.size / 20e9
    assert cpu.predicted == pytest.approx(here.estimates[0].predicted + cpu.transfers)
    assert there.choice == "rx580"
    with pytest.raises(rx.DeviceError, match=r"one of devices \('cpu'\), got 'rx580'"):
        rx.explain(chain, devices=["cpu"], resident="rx580")
