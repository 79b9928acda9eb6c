"""Every private name that is used of Keras, torch, torchvision and JAX, and small tools."""
