"""Zhunxin: an assistant for consumer-finance lenders that says only what it can prove."""

__version__ = "0.1.0"
