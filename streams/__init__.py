"""What happens: the arrows of the picture. Decides nothing; the deciding is in `tables`."""
