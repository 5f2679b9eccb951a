"""Record batches through Faust, each one Kafka transaction of its partition's own producer.

`role` composes a worker of lanes; `lane` is the life of one partition; the rest is what a lane is made of.
"""
