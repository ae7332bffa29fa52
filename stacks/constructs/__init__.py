"""One construct per module, each with its permissions and its alarms; the stacks compose them."""
