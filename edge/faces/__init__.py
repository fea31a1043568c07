"""Finding faces, following them, cutting them out."""
