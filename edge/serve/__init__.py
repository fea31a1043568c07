"""A prediction server over HTTP: faces or pictures in, emotions out."""
