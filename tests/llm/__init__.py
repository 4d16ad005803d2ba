"""A real small chat model as a Hugging Face folder, and a light real server for it with vLLM's HTTP face."""
