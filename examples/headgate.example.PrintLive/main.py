"""Prints the newest values of every device as the hub publishes them on this gateway (docs/local.md)."""

import json
import threading

from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2


def on_event(event):
    message = json.loads(event.binary_message.message)
    for tag, sample in message["values"].items():
        line = "{} {} {value} {unit} {quality} {t}\n".format(message["device"], tag, **sample)
        print(line, end="", flush=True)


client = GreengrassCoreIPCClientV2()
client.subscribe_to_topic(topic="hg/v1/local/live/+", on_stream_event=on_event)
threading.Event().wait()
