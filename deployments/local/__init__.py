"""The embedded stack: real servers, child processes of one supervisor."""
