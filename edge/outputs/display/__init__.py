"""The attached display: a desktop window, or the whole screen through DRM."""
