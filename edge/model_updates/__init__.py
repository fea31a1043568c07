"""How another model comes onto a board that is running: archive, self-test, installation, and taking it up."""
