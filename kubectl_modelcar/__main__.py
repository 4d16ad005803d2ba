"""`python -m kubectl_modelcar`."""

from kubectl_modelcar.cli import main

if __name__ == "__main__":
    main()
