"""Batch norm with the mean absolute deviation, for normlib."""

from normlib_l1_batch.l1_batch import L1BatchNorm

__all__ = ["L1BatchNorm"]
