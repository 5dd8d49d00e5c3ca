"""Results of typed arrays keep their dtype beside Python numbers, empty ones too."""

import numpy as np
import pytest

import rxcore as rx
import rxcore.numpy as rnp

KEYS = [np.s_[:0], np.s_[..., 1:1], np.s_[2:, ::2], np.s_[0:0, 0]]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float16", "float64"])
@pytest.mark.parametrize("key", KEYS, ids=str)
def test_a_slice_of_nothing_keeps_its_dtype(dtype, key):
    x = rnp.ones((2, 4), dtype)
    for found in (x[key] * 2, rx.jit(lambda x: x[key] * 2)(x)):
        assert found.dtype == dtype
        assert found.shape == np.ones((2, 4))[key].shape
    wider = "int64" if x.dtype.kind in "iu" else "float64"
    assert (x[key] + rnp.ones((), wider)).dtype == rnp.promote_types(dtype, wider)


def test_found_places_are_int32_beside_narrower_integers():
    line, values = rnp.arange(4.0), rnp.asarray([0.5, 2.5])
    narrow = rnp.ones(2, "int8")
    assert (rnp.searchsorted(line, values) + narrow).dtype == "int32"
    assert (rx.jit(rnp.searchsorted)(line, values) * narrow).dtype == "int32"
