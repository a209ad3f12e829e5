"""`python -m gateway.cli`, for where the script `rogatory` is not installed."""

from gateway.cli import main

if __name__ == "__main__":
    main()
