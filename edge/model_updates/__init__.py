"""Changes the model of a running board: reads archives, tests a model, installs it, and loads it into the daemon."""
