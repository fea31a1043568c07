"""Deployment from a checkout to boards: the Debian package, the card image, and management of boards over SSH."""
