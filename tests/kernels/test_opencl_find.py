"""No driver, however broken, stops the search; each device left out has a reason."""

import os
import subprocess
import sys

import attrs
import pyopencl as cl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxcore_kernels import opencl
from rxcore_kernels.opencl_facts import Facts
from rxcore_kernels.opencl_find import limited, parse_limits
from tests.kernels.opencl_drivers import Device, Platform, discover

PROPERTIES = sorted(Device()._properties)


@pytest.fixture(autouse=True)
def no_choice(monkeypatch):
    monkeypatch.delenv("RXCORE_OPENCL_PLATFORM", raising=False)
    monkeypatch.delenv("RXCORE_OPENCL_LIMITS", raising=False)


class CodedError(Exception):
    def __init__(self, code):
        super().__init__(f"clSomething failed: CODE {code}\nmore lines")
        self.code = code


def test_pocl_is_found_as_a_cpu_that_stands_in_for_a_gpu():
    device = opencl.devices()[0]
    assert opencl.why_none() == ""
    assert device.is_cpu
    assert device.facts.kind == "gpu"
    assert device.facts_as_cpu == attrs.evolve(
        device.facts, kind="cpu", local_is_real=False
    )
    assert max(device.facts.max_item) <= device.facts.max_group
    assert device.facts.fp64
    assert opencl.devices() is opencl.devices()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ModuleNotFoundError("No module", name="pyopencl"), "not installed: pip"),
        (ModuleNotFoundError("No module", name="pytools"), "cannot be loaded"),
        (ImportError("libOpenCL.so: cannot open"), "libOpenCL.so: cannot open"),
        (CodedError(-1001), "no OpenCL driver is installed"),
        (CodedError(-5), "CODE -5"),
        (SystemError("anything"), "anything"),
    ],
)
def test_no_platform_list_is_a_reason_in_one_line(monkeypatch, error, words):
    found = discover(monkeypatch, error)
    assert found.devices == ()
    assert words in found.why_none
    assert "\n" not in found.why_none
    assert found.problems == (("OpenCL", found.why_none),)


@pytest.mark.parametrize("name", PROPERTIES)
@pytest.mark.parametrize(
    "error", [CodedError(-30), ValueError(), OSError("gone\nfor good")]
)
def test_a_device_that_cannot_be_asked_is_left_out_and_others_stay(
    monkeypatch, name, error
):
    good, bad = Device(max_compute_units=8), Device(**{name: error})
    found = discover(monkeypatch, [Platform([bad, good])])
    assert [d.handle for d in found.devices] == [good]
    ((where, line),) = found.problems
    assert where == "AMD Accelerated, device 0"
    assert line
    assert "\n" not in line


def test_a_platform_that_cannot_be_asked_is_left_out_and_others_stay(monkeypatch):
    good = Platform([Device()], name="good")
    nameless = Platform([Device()], name=CodedError(-32))
    broken = Platform(CodedError(-30), name="broken")
    empty = Platform(CodedError(-1), name="empty")
    found = discover(monkeypatch, [nameless, broken, empty, good])
    assert [d.platform for d in found.devices] == ["good"]
    assert [where for where, _ in found.problems] == ["platform 0", "broken"]
    found = discover(monkeypatch, [broken])
    assert found.why_none == "broken: clSomething failed: CODE -30"
    assert discover(monkeypatch, [empty]).why_none
    assert discover(monkeypatch, []).why_none


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"version": "OpenCL 1.1 old"}, "OpenCL 1.2 is needed"),
        ({"version": "nonsense"}, "OpenCL 1.2 is needed"),
        ({"available": False}, "not available"),
        ({"compiler_available": False}, "no compiler"),
        ({"endian_little": False}, "high byte first"),
    ],
)
def test_a_device_that_cannot_be_used_says_why(monkeypatch, given, words):
    found = discover(monkeypatch, [Platform([Device(**given)])])
    assert found.devices == ()
    assert words in found.problems[0][1]
    assert words in found.why_none


def test_the_largest_gpu_comes_first_and_the_cpu_last(monkeypatch):
    kinds = cl.device_type
    cpu = Device(name="cpu", type=kinds.CPU, global_mem_size=1 << 40)
    board = Device(name="board", type=kinds.ACCELERATOR, global_mem_size=1 << 39)
    small = Device(name="small", global_mem_size=1 << 31)
    large = Device(name="large", max_compute_units=64)
    plain = Device(name="plain")
    found = discover(monkeypatch, [Platform([cpu, board, small, plain, large])])
    names = [d.name for d in found.devices]
    assert names == ["large", "plain", "small", "board", "cpu"]
    assert [d.is_cpu for d in found.devices] == [False] * 4 + [True]


def test_two_versions_of_a_driver_show_a_device_once_and_two_cards_are_two(monkeypatch):
    def pocl(version, name):
        kind = cl.device_type.CPU
        device = Device(name=name, type=kind, version="OpenCL 3.0 PoCL")
        version = f"OpenCL 3.0 PoCL {version}"
        return Platform([device], name="Portable Computing Language", version=version)

    platforms = [
        pocl("3.0-rc2 LLVM 14", "pthread-old"),
        pocl("3.10 LLVM 9", "pthread-new"),
        pocl("3.2 LLVM 20", "pthread-middle"),
        Platform([Device(), Device()]),
    ]
    found = discover(monkeypatch, platforms)
    assert [d.name for d in found.devices] == ["card", "card", "pthread-new"]
    assert len(found.problems) == 2
    assert all("3.10" not in line for _, line in found.problems)


def test_platforms_are_chosen_by_a_part_of_their_name(monkeypatch):
    platforms = [Platform([Device()], name=n) for n in ("Oclgrind", "rusticl", "AMD")]
    assert [d.platform for d in discover(monkeypatch, platforms).devices] == [
        "rusticl",
        "AMD",
    ]
    monkeypatch.setenv("RXCORE_OPENCL_PLATFORM", "OCLG")
    assert [d.platform for d in discover(monkeypatch, platforms).devices] == [
        "Oclgrind"
    ]
    monkeypatch.setenv("RXCORE_OPENCL_PLATFORM", "intel")
    found = discover(monkeypatch, platforms)
    assert found.devices == ()
    assert "RXCORE_OPENCL_PLATFORM='intel'" in found.why_none


def test_cards_are_known_by_their_vendors_ways(monkeypatch):
    fma = cl.device_fp_config.FMA
    polaris = Device(
        name="Ellesmere",
        board_name_amd="Radeon RX 580 Series\0",
        wavefront_width_amd=64,
        gfxip_major_amd=8,
        single_fp_config=fma,
    )
    vega = Device(gfxip_major_amd=9, single_fp_config=fma, global_mem_size=1 << 32)
    nvidia = Device(
        vendor="NVIDIA Corporation",
        warp_size_nv=32,
        compute_capability_major_nv=6,
        compute_capability_minor_nv=1,
        global_mem_size=1 << 31,
    )
    intel = Device(
        vendor="Intel(R) Corporation",
        max_mem_alloc_size=1 << 36,
        global_mem_size=1 << 37,
        extensions="cl_khr_integer_dot_product cl_khr_fp16",
        max_work_group_size=32,
    )
    found = discover(monkeypatch, [Platform([polaris, vega, nvidia, intel])])
    by_handle = {d.handle: d for d in found.devices}
    assert by_handle[polaris].name == "Radeon RX 580 Series"
    assert not by_handle[polaris].facts.fused_multiply_add
    assert by_handle[vega].facts.fused_multiply_add
    facts = by_handle[nvidia].facts
    assert (facts.wave, facts.fp16, facts.int_dot) == (32, True, True)
    facts = by_handle[intel].facts
    assert facts.max_alloc == 1 << 32
    assert (facts.wave, facts.max_item) == (32, (32, 32, 32))
    assert facts.fp16
    assert not facts.int_dot


# ------------------------------------------------------------------ limits

SIZES = ("max_group", "local_bytes", "max_alloc", "global_bytes", "units", "wave")


@given(
    numbers=st.dictionaries(st.sampled_from(SIZES), st.integers(1, 1 << 40)),
    truths=st.dictionaries(st.sampled_from(["fp64", "denormals"]), st.booleans()),
    items=st.tuples(*[st.integers(1, 1 << 12)] * 3),
)
def test_limits_are_read_as_they_are_written_and_never_raised(numbers, truths, items):
    limits = {**numbers, **truths, "max_item": items}
    parts = [f"{k}={int(v)}" for k, v in {**numbers, **truths}.items()]
    text = " , ".join([*parts, "max_item=" + "x".join(map(str, items))])
    assert parse_limits(text) == limits
    made, facts = limited(Facts(), limits), Facts()
    for name in ("max_group", "local_bytes", "max_alloc", "global_bytes"):
        assert getattr(made, name) <= min(
            limits.get(name, 1 << 60), facts.max_alloc * 4
        )
        assert getattr(made, name) <= getattr(facts, name)
    assert made.fp64 is False
    assert made.denormals is truths.get("denormals", False)
    assert max(made.max_item) <= made.max_group
    assert made.wave <= made.max_group


@pytest.mark.parametrize(
    "text", ["fp64", "fp64=2", "max_group=0", "max_group=64x2x2", "speed=1", "kind=tpu"]
)
def test_limits_that_cannot_be_read_name_the_fields(monkeypatch, text):
    monkeypatch.setenv("RXCORE_OPENCL_LIMITS", f"local_bytes=1024,{text}")
    with pytest.raises(ValueError, match=r"RXCORE_OPENCL_LIMITS: expected") as caught:
        discover(monkeypatch, [])
    assert repr(text) in str(caught.value)
    assert all(name in str(caught.value) for name in attrs.fields_dict(Facts))


# ------------------------------------------------------------------ processes


def in_process(code, **environment):
    """Run code in a new Python; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.strip()


def test_a_simulated_small_device():
    text = "fp64=0,local_bytes=32768,max_group=64,max_alloc=268435456"
    code = (
        "from rxcore_kernels import opencl\n"
        "f = opencl.devices()[0].facts\n"
        "print(f.fp64, f.local_bytes, f.max_group, f.max_item, f.max_alloc)"
    )
    assert in_process(code, RXCORE_OPENCL_LIMITS=text) == (
        "False 32768 64 (64, 64, 64) 268435456"
    )


def test_no_pyopencl_and_no_driver():
    code = (
        "import sys\n{}\n"
        "from rxcore_kernels import opencl\n"
        "print(opencl.devices(), opencl.why_none())"
    )
    absent = in_process(code.format("sys.modules['pyopencl'] = None"))
    assert absent.startswith("() pyopencl is not installed")
    alone = in_process(code.format(""), RXCORE_OPENCL_PLATFORM="no such platform")
    assert alone.startswith("() Portable Computing Language: not asked for")


def test_pyopencl_is_not_imported_before_it_is_needed():
    code = (
        "import sys, os\n"
        "from rxcore_kernels import opencl\n"
        "print('pyopencl' in sys.modules)\n"
        "opencl.devices()\n"
        "print('pyopencl' in sys.modules, 'PYOPENCL_NO_CACHE' in os.environ)"
    )
    assert in_process(code).split() == ["False", "True", "False"]
