"""Card images: an official image with the package and the site's settings written onto it."""
