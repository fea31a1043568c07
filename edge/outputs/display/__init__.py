"""The attached display: a window on a desktop, or the whole screen through DRM."""
