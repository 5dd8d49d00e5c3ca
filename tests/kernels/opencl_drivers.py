"""Drivers made of plain objects, for what no installed driver does."""

import pyopencl as cl

from rxcore_kernels import opencl_find


class Device:
    """A device whose properties are given; one that is an exception is raised."""

    def __init__(self, **given):
        self._properties = {
            "name": "card",
            "vendor": "Advanced Micro Devices, Inc.",
            "version": "OpenCL 1.2 AMD-APP",
            "driver_version": "1912.5",
            "type": cl.device_type.GPU,
            "available": True,
            "compiler_available": True,
            "endian_little": True,
            "single_fp_config": 0,
            "extensions": "",
            "max_work_group_size": 256,
            "max_work_item_sizes": [256, 256, 256],
            "max_mem_alloc_size": 1 << 32,
            "global_mem_size": 1 << 33,
            "local_mem_size": 1 << 15,
            "local_mem_type": cl.device_local_mem_type.LOCAL,
            "max_compute_units": 36,
            "max_parameter_size": 1024,
            "host_unified_memory": False,
            **given,
        }

    def __getattr__(self, name):
        value = self._properties.get(name, AttributeError(name))
        if isinstance(value, Exception):
            raise value
        return value


class Platform(Device):
    def __init__(self, devices, **given):
        super().__init__(**{"name": "AMD Accelerated", "version": "1", **given})
        self._devices = devices

    def get_devices(self):
        if isinstance(self._devices, Exception):
            raise self._devices
        return self._devices


class Module:
    """PyOpenCL with other platforms."""

    def __init__(self, platforms):
        self._platforms = platforms

    def __getattr__(self, name):
        return getattr(cl, name)

    def get_platforms(self):
        if isinstance(self._platforms, Exception):
            raise self._platforms
        return self._platforms


def discover(monkeypatch, platforms):
    monkeypatch.setattr(opencl_find, "cl", Module(platforms))
    return opencl_find.discover()
