"""`python -m node` is the same as `rasnode`."""

from node.cli.main import main

if __name__ == "__main__":
    main()
