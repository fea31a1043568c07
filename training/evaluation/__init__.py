"""Networks and committees asked about a data set, and what came of it."""
