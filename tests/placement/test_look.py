"""Devices are looked for in the background, by programs for which it may pay."""

import subprocess
import sys

import pytest

PROGRAM = """
import threading
import rxcore as rx, rxcore.numpy as rnp
from rxcore.runtime import devices, placement

placement._LONG, placement._ENOUGH = {long}, {enough}
f = rx.jit(lambda x: rnp.exp(x) + x)
x = rnp.ones({size})
for _ in range({calls}):
    f(x)
print(bool(devices._search))
"""


@pytest.mark.parametrize(
    ("long", "enough", "size", "calls", "expected"),
    [
        (1e9, 0.0, 1 << 20, 5, "False"),  # short calls never are worth a search
        (0.0, 1e9, 1 << 20, 5, "False"),  # nor are few long ones
        (0.0, 1e-9, 1 << 20, 5, "True"),
    ],
)
def test_a_search_must_be_worth_it(long, enough, size, calls, expected):
    text = PROGRAM.format(long=long, enough=enough, size=size, calls=calls)
    found = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.strip() == expected
