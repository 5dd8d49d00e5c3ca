"""How many random examples a test tries."""

from __future__ import annotations

import os

from hypothesis import settings

_FACTOR = 20 if os.environ.get("RXCORE_TEST_ALL", "") not in ("", "0") else 1


def examples(count: int) -> settings:
    """Return the settings for `count` examples, many more in `make test-all`."""
    return settings(max_examples=count * _FACTOR, deadline=None)
