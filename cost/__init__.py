"""What a deployment costs on AWS: the model, the prices, and the page. `python -m cost` writes docs/cost.md."""
