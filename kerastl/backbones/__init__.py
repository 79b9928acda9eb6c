"""Pretrained networks as named parts, one module per source."""
