"""`python -m node` is the same as `rasnode`."""

import sys

if __name__ == "__main__":
    # `python -m` puts the working folder first among those that modules are looked for in.
    first, here = sys.path[0], __file__.removesuffix("/node/__main__.py")
    if not sys.flags.safe_path and first != here:
        del sys.path[0]

    from node.cli.main import main

    main()
