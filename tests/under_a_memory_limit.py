"""Find a batch size where the system allows little more memory, and train with it.

Prints the size, and what a batch that is far too large is told.
"""

import resource
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import kerastl

# isort: split
import keras
import numpy as np
import psutil
import torch

from kerastl.errors import OutOfMemoryError

torch.set_num_threads(1)
keras.utils.set_random_seed(0)
images = np.random.default_rng(0).integers(0, 256, (256, 96, 96, 3), dtype=np.uint8)
labels = np.arange(256) % 3
model = kerastl.ImageClassifier("torchvision:mobilenet_v2", 3, weights=None, image_size=96)
model.compile("sgd", learning_rate=1e-3)
# What is loaded at the first step is not what a batch takes.
model.fit(images[:2], labels[:2], verbose=0)
used = psutil.Process().memory_info().data
resource.setrlimit(resource.RLIMIT_DATA, (used + 700_000_000,) * 2)
found = kerastl.largest_batch_size(model, images, labels, most=64)
model.fit(images[:64], labels[:64], batch_size=found.size, verbose=0)
print(found.size)
try:
    model.fit(images, labels, batch_size=256, verbose=0)
except OutOfMemoryError as error:
    print(error)
