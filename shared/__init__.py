"""What sender and receiver have in common: motion, codecs, networks, the link and the session."""
