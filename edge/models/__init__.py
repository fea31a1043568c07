"""Model folders and their cards, released and installed models, which of them is in use, and the interpreter."""
