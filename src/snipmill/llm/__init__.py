"""The model's side: the OpenAI-compatible client, the embedded server, and where its weights come from."""
