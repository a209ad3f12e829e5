"""Certificate profiles of the federation, and a tool that builds a development PKI from them."""
