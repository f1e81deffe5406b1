"""The official SDK, unmodified, against the emulator at argv[1] (host:port).

Prints one line of JSON for each step; the Rust test that starts it reads them.
"""

import json
import sys

from tencentcloud.common import credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.vod.v20180717 import models, vod_client

APP = 1500012345


def client(secret_id="AKIDEMULATOR", secret_key="emulator-secret-key", token=None):
    http = HttpProfile(protocol="http", endpoint=sys.argv[1], reqTimeout=10)
    return vod_client.VodClient(
        credential.Credential(secret_id, secret_key, token), "", ClientProfile(httpProfile=http)
    )


def request(kind, **members):
    request = kind()
    request.SubAppId = APP
    for name, value in members.items():
        setattr(request, name, value)
    return request


def tell(step, **what):
    print(json.dumps({"step": step, **what}), flush=True)


def code_of(call, *arguments):
    try:
        call(*arguments)
    except TencentCloudSDKException as error:
        assert error.get_request_id(), error
        return error.get_code()
    return "no error"


vod = client()

state = vod.DescribeEventsState(request(models.DescribeEventsStateRequest))
tell("state", count=state.CountOfEventsToPull)

config = vod.DescribeEventConfig(request(models.DescribeEventConfigRequest))
tell("config", mode=config.Mode, upload=config.UploadMediaCompleteEventSwitch)

pulled = vod.PullEvents(request(models.PullEventsRequest, ExtInfo=""))
tell(
    "pull",
    types=[event.EventType for event in pulled.EventSet],
    sprites=[
        event.CreateImageSpriteCompleteEvent.WebVttUrl
        for event in pulled.EventSet
        if event.CreateImageSpriteCompleteEvent is not None
    ]
    + [
        event.ProcedureStateChangeEvent.MediaProcessResultSet[0].ImageSpriteTask.Output.WebVttUrl
        for event in pulled.EventSet
        if event.ProcedureStateChangeEvent is not None
    ],
)

finish = models.TimeRange()
finish.After = "2020-01-01T00:00:00Z"
sort = models.SortBy()
sort.Field, sort.Order = "FinishTime", "Asc"
tasks, token = [], None
while token != "":
    page = vod.DescribeTasks(
        request(
            models.DescribeTasksRequest,
            Status="FINISH",
            FinishTime=finish,
            Sort=sort,
            Limit=1,
            ScrollToken=token,
        )
    )
    tasks += page.TaskSet
    token = page.ScrollToken
details = [
    vod.DescribeTaskDetail(request(models.DescribeTaskDetailRequest, TaskId=task.TaskId))
    for task in tasks
]
tell(
    "tasks",
    ids=[task.TaskId for task in tasks],
    types=[[task.TaskType, detail.TaskType] for task, detail in zip(tasks, details)],
    sprites=[
        detail.CreateImageSpriteTask.WebVttUrl
        for detail in details
        if detail.CreateImageSpriteTask is not None
    ]
    + [
        detail.ProcedureTask.MediaProcessResultSet[0].ImageSpriteTask.Output.WebVttUrl
        for detail in details
        if detail.ProcedureTask is not None
    ],
)

handles = [event.EventHandle for event in pulled.EventSet]
confirmed = vod.ConfirmEvents(request(models.ConfirmEventsRequest, EventHandles=handles))
tell("confirm", request_id=confirmed.RequestId)

tell("stale", code=code_of(vod.ConfirmEvents, request(models.ConfirmEventsRequest, EventHandles=handles)))
tell("empty", code=code_of(vod.PullEvents, request(models.PullEventsRequest)))

pull = request(models.PullEventsRequest)
tell("wrong-key", code=code_of(client(secret_key="another").PullEvents, pull))
tell("wrong-id", code=code_of(client(secret_id="AKIDANOTHER").PullEvents, pull))
tell("wrong-token", code=code_of(client(token="another").PullEvents, pull))
tell("no-app", code=code_of(vod.PullEvents, models.PullEventsRequest()))
tell("no-task", code=code_of(vod.DescribeTaskDetail, request(models.DescribeTaskDetailRequest, TaskId="t")))
tell("unknown-action", code=code_of(vod.DescribeMediaInfos, models.DescribeMediaInfosRequest()))
