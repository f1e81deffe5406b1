"""The loop that the official SDK's documents show: pull, handle, confirm, one after the other.

Handling is appending each event to a file and syncing it. argv: host:port, file.
"""

import os
import signal
import sys
import time

from tencentcloud.common import credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.vod.v20180717 import models, vod_client

APP = 1500012345

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
http = HttpProfile(protocol="http", endpoint=sys.argv[1], reqTimeout=10)
vod = vod_client.VodClient(
    credential.Credential("AKIDEMULATOR", "emulator-secret-key"), "", ClientProfile(httpProfile=http)
)
file = open(sys.argv[2], "a")
while True:
    pull = models.PullEventsRequest()
    pull.SubAppId = APP
    try:
        events = vod.PullEvents(pull).EventSet
    except TencentCloudSDKException:
        time.sleep(0.1)
        continue
    for event in events:
        file.write(event.to_json_string() + "\n")
    file.flush()
    os.fsync(file.fileno())
    confirm = models.ConfirmEventsRequest()
    confirm.EventHandles = [event.EventHandle for event in events]
    confirm.SubAppId = APP
    while True:
        try:
            vod.ConfirmEvents(confirm)
            break
        except TencentCloudSDKException:
            time.sleep(0.1)
