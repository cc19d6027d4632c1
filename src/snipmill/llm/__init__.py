"""Model access: the OpenAI-compatible client, the vLLM and embedded servers, and the embedded server's weights."""
