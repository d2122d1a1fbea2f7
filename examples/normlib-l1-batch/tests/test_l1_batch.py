"""The norm keeps every promise of normlib's contract, and is what the paper says."""

import torch
from normlib_l1_batch import L1BatchNorm

from normlib.testing import check_norm


def test_the_contract() -> None:
    check_norm("l1_batch")


def test_normal_values_come_out_with_unit_deviation() -> None:
    x = 3 + 5 * torch.randn(10_000, 4, generator=torch.Generator().manual_seed(0))
    y = L1BatchNorm(4)(x)
    # The standard error of a deviation from 10,000 values is 0.007.
    torch.testing.assert_close(y.std(0), torch.ones(4), atol=0.03, rtol=0)
    torch.testing.assert_close(y.mean(0), torch.zeros(4), atol=1e-4, rtol=0)
