"""Looking at a cluster and its topics through aiokafka 0.14."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin import NewTopic as AiokafkaNewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAuthorizationFailedError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.admin import DeleteRecordsRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.structs import TopicPartition

from penstock.connectors.kafka_port import NewTopic

DELETE_MS = 10_000


class AiokafkaAdmin:
    """`Admin` of kafka_port.py."""

    def __init__(self, client: AIOKafkaAdminClient) -> None:
        self._client = client

    async def start(self) -> None:
        await self._client.start()

    async def stop(self) -> None:
        await self._client.close()

    async def brokers(self) -> int:
        return len((await self._client.describe_cluster())["brokers"])

    async def leaders(self, topics: Iterable[str]) -> dict[str, dict[int, int]]:
        """Not `describe_topics`, which lets the brokers create what it asks for."""
        request = MetadataRequest(sorted(topics), allow_auto_topic_creation=False)
        answer = await self._client._send_request(request)
        found: dict[str, dict[int, int]] = {}
        for topic in answer.to_object()["topics"]:
            kind = for_code(topic["error_code"])
            if kind is TopicAuthorizationFailedError:
                raise kind(topic["topic"])
            if topic["partitions"]:
                found[topic["topic"]] = {each["partition"]: each["leader"] for each in topic["partitions"]}
        return found

    async def settings(self, topics: Sequence[str]) -> dict[str, dict[str, str]]:
        if not topics:  # the request would mean: of all
            return {}
        wanted = [ConfigResource(ConfigResourceType.TOPIC, name) for name in topics]
        settings: dict[str, dict[str, str]] = {}
        for answer in await self._client.describe_configs(wanted):
            for resource in answer.to_object()["resources"]:
                topic = resource["resource_name"]
                if resource["error_code"]:
                    raise for_code(resource["error_code"])(topic)
                settings[topic] = {entry["config_names"]: entry["config_value"] for entry in resource["config_entries"]}
        return settings

    async def create(self, topics: Sequence[NewTopic]) -> dict[str, Exception]:
        wanted = [
            AiokafkaNewTopic(each.name, each.partitions, each.replicas, topic_configs=dict(each.settings))
            for each in topics
        ]
        answer = (await self._client.create_topics(wanted)).to_object()
        refused: dict[str, Exception] = {}
        for each in answer["topic_errors"]:
            if each["error_code"]:
                said = each.get("error_message")
                refused[each["topic"]] = for_code(each["error_code"])(*([said] if said else []))
        return refused

    async def delete_records(self, partition: TopicPartition, before: int) -> None:
        """aiokafka's own `delete_records` asks for the metadata of all topics of the cluster first."""
        leader = (await self.leaders([partition.topic])).get(partition.topic, {}).get(partition.partition)
        if leader is None:
            raise UnknownTopicOrPartitionError(partition)
        request = DeleteRecordsRequest([(partition.topic, [(partition.partition, before)])], DELETE_MS)
        answer = (await self._client._client.send(leader, request)).to_object()
        for each in (each for topic in answer["topics"] for each in topic["partitions"]):
            if each["error_code"]:
                raise for_code(each["error_code"])(partition.topic)
