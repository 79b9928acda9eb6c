"""Look at a data set before it is trained on: `kerastl check` and `kerastl.check_data`."""
