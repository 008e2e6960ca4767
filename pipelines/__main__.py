"""`python -m penstock.pipelines` is `penstock`."""

from penstock.pipelines.cli import main

main()
