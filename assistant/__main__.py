"""`python -m assistant` is `zhunxin`."""

from .cli import main

main()
