"""How accurate kerastl is next to other ways to train on the same images."""

import kerastl as kerastl  # chooses the torch backend, before anything here imports Keras
