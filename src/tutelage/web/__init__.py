"""Pages for people: what is shown in a browser. Everything decided is decided below."""
