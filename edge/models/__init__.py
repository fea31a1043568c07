"""Model folders: their cards, which are released or installed, which is in use, and the interpreter that runs them."""
