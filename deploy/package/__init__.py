"""The Debian package: wheels, files, licences."""
