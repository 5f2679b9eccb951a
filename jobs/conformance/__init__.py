"""The conformance kit: plays the pipeline to a gateway, and its clients, and says what the gateway did wrong.

It shares no code with any gateway: what it expects is written from the contract, and each case names its sentence.
"""
