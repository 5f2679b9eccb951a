"""The deciding cores of all roles in a world of one seed: virtual time, a broker in memory, faults at every step."""
