"""A WebSocket gateway, written against the contract (docs/contract) only: what a gateway of yours might look like."""
