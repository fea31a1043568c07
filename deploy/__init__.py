"""From a checkout to boards: the package, the flashable image, and looking after boards over SSH."""
