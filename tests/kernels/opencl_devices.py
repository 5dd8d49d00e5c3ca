"""The first OpenCL device, as it is and as if it were a small one."""

from attrs import evolve

from rxcore_kernels import opencl

DEVICE = opencl.devices()[0]
SMALL = evolve(
    DEVICE.facts,
    max_group=64,
    max_item=(64, 64, 64),
    local_bytes=1 << 15,
    max_alloc=1 << 28,
    fp64=False,
)
FACTS = (DEVICE.facts, SMALL)


def check_limits(facts, plan):
    """No launch asks for more than the device has, and each tells its costs."""
    assert all(n <= facts.max_alloc for n in plan.scratch)
    for each in plan.launches:
        source = each.source
        assert source.group[0] <= min(facts.max_group, facts.max_item[0])
        assert source.local_bytes <= facts.local_bytes
        assert facts.fp64 or not source.fp64
        assert source.memories == len(each.memories) == len(each.itemsizes)
        assert len(source.scalars) == len(each.scalars)
        assert each.nbytes > 0


class Cutting:
    """The device with each launch cut in three, as one of a long time is."""

    def __getattr__(self, name):
        return getattr(DEVICE, name)

    def launch(self, *arguments):
        DEVICE.launch(*arguments, seconds=1.4)


def run(facts, plan, inputs, outputs):
    """Run a plan on the device, within the facts."""
    assert plan is not None
    check_limits(facts, plan)
    opencl.run_launches(Cutting(), plan, inputs, outputs)
