"""Several processes that train one model together, over torch.distributed."""
