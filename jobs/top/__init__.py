"""`linkcast top`: a cluster on one screen, live. `sight` asks, `figures` reckons, `screen` draws."""
