"""The only place that knows jinja2: text in, text out."""
