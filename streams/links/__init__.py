"""The owner of `links`, part of the users role: registrations, epochs, and the death of a link, told to everyone."""
