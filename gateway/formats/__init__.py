"""The standard formats: what others write, turned into our messages, and our documents. Pure."""
