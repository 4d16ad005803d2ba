"""`kubectl modelcar`: a language model from Hugging Face to an OCI image, to a running vLLM server, to an answer."""

__version__ = "0.1.0"
