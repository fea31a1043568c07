"""The live page: server, access, streams, events and the pages themselves."""
