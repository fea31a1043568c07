"""What several tests use: brokers, browsers, cameras, sample data."""
