"""Version 1 of the contract: the .proto files and, beside them, what `make proto` generates from them."""
