"""Decoding in a second process: its errors are told, and it is told the weights where it cannot find them."""

import pytest

from jaxicm.errors import JaxicmError
from jaxicm.evaluate.fresh import FreshDecoder


def test_a_failing_second_process_is_an_error_with_its_message():
    with pytest.raises(JaxicmError, match=r"second process failed: .*jaxicm: error:"):
        FreshDecoder().decode([b"this is no compressed file"])


def test_a_second_process_is_told_the_weights_only_where_it_cannot_find_them():
    assert FreshDecoder.for_model("fast") == FreshDecoder(None)
    assert FreshDecoder.for_model("runs/a.safetensors") == FreshDecoder("runs/a.safetensors")
